package template

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// object is a mapping of the template. Short forms of intrinsic functions are expanded: !Ref X is {"Ref": "X"}.
type object = map[string]any

// load parses the template.
func load(t *testing.T) object {
	t.Helper()
	return loadFile(t, "template.yaml")
}

func loadFile(t *testing.T, name string) object {
	t.Helper()
	text, err := os.ReadFile("../../" + name)
	if err != nil {
		t.Fatal(err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	root, ok := value(t, document.Content[0]).(object)
	if !ok {
		t.Fatal(name + " is not a mapping")
	}
	return root
}

func value(t *testing.T, n *yaml.Node) any {
	t.Helper()
	if function, ok := strings.CutPrefix(n.Tag, "!"); ok && !strings.HasPrefix(n.Tag, "!!") {
		plain := *n
		plain.Tag = ""
		if function != "Ref" {
			function = "Fn::" + function
		}
		return object{function: value(t, &plain)}
	}
	switch n.Kind {
	case yaml.AliasNode:
		t.Fatalf("line %d: CloudFormation does not support aliases", n.Line)
	case yaml.MappingNode:
		m := object{}
		for i := 0; i < len(n.Content); i += 2 {
			m[n.Content[i].Value] = value(t, n.Content[i+1])
		}
		return m
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, item := range n.Content {
			list[i] = value(t, item)
		}
		return list
	}
	var v any
	if err := n.Decode(&v); err != nil {
		t.Fatalf("line %d: %v", n.Line, err)
	}
	return v
}

// at returns the value at a path of keys. It fails the test if there is none.
func at(t *testing.T, v any, path ...string) any {
	t.Helper()
	for i, key := range path {
		m, ok := v.(object)
		if !ok || m[key] == nil {
			t.Fatalf("there is no %s", strings.Join(path[:i+1], "/"))
		}
		v = m[key]
	}
	return v
}

// ofType returns the template's resources of a type, by name.
func ofType(t *testing.T, template object, kind string) map[string]object {
	t.Helper()
	found := map[string]object{}
	for name, r := range at(t, template, "Resources").(object) {
		if resource := r.(object); resource["Type"] == kind {
			found[name] = resource
		}
	}
	return found
}

// functions returns the properties of the template's functions, including the global ones.
func functions(t *testing.T, template object) map[string]object {
	t.Helper()
	found := ofType(t, template, "AWS::Serverless::Function")
	for name, resource := range found {
		properties := maps.Clone(at(t, template, "Globals", "Function").(object))
		maps.Copy(properties, resource["Properties"].(object))
		found[name] = properties
	}
	return found
}

// texts converts a text or a list of texts to a list.
func texts(v any) []string {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	found := make([]string, len(list))
	for i, item := range list {
		found[i], _ = item.(string)
	}
	return found
}

// sorted returns the elements of a set in order.
func sorted(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }
