package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"ecr-continuous-scan/test/lambdaruntime"
)

// build is a compiled checkout of the service.
type build struct {
	name      string
	functions map[string]function // by folder
}

// function is a compiled function with its settings in the template.
type function struct {
	binary  string
	memory  int // MB
	timeout time.Duration
}

// compile compiles the functions of the checkout in the folder root.
func compile(ctx context.Context, name, root string) (build, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return build{}, err
	}
	functions, err := readTemplate(filepath.Join(root, "template.yaml"))
	if err != nil {
		return build{}, err
	}
	for folder, f := range functions {
		if f.binary, err = lambdaruntime.Compile(ctx, root, folder); err != nil {
			return build{}, err
		}
		functions[folder] = f
	}
	return build{name, functions}, nil
}

// readTemplate reads the memory and the timeout of each function.
func readTemplate(path string) (map[string]function, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	type settings struct {
		Folder  string `yaml:"CodeUri"`
		Memory  int    `yaml:"MemorySize"`
		Timeout int    `yaml:"Timeout"`
	}
	type resource struct {
		Type       string    `yaml:"Type"`
		Properties yaml.Node `yaml:"Properties"`
	}
	var template struct {
		Globals struct {
			Function settings `yaml:"Function"`
		} `yaml:"Globals"`
		Resources map[string]resource `yaml:"Resources"`
	}
	if err := yaml.Unmarshal(text, &template); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	functions := make(map[string]function)
	for name, resource := range template.Resources {
		if resource.Type != "AWS::Serverless::Function" {
			continue
		}
		s := template.Globals.Function
		if err := resource.Properties.Decode(&s); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", path, name, err)
		}
		folder := strings.Trim(strings.TrimPrefix(s.Folder, "dist/"), "/")
		functions[folder] = function{memory: s.Memory, timeout: time.Duration(s.Timeout) * time.Second}
	}
	for _, folder := range []string{"configs", "summary", "findings", "startscan"} {
		if f := functions[folder]; f.memory == 0 || f.timeout == 0 {
			return nil, fmt.Errorf("%s: the function in dist/%s has no memory size or timeout", path, folder)
		}
	}
	return functions, nil
}
