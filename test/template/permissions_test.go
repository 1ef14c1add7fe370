package template

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"ecr-continuous-scan/internal/s3store"
)

// statements are what a function may do, without what SAM adds for logs and traces.
func statements(t *testing.T, function object) []object {
	t.Helper()
	var all []object
	for _, policy := range at(t, function, "Policies").([]any) {
		for _, s := range at(t, policy, "Statement").([]any) {
			all = append(all, s.(object))
		}
	}
	return all
}

// granted are the actions that a function may do.
func granted(t *testing.T, function object) map[string]bool {
	t.Helper()
	actions := map[string]bool{}
	for _, s := range statements(t, function) {
		for _, action := range texts(s["Action"]) {
			actions[action] = true
		}
	}
	return actions
}

// The permissions are those of the calls that the code makes: none is missing and none is too many.
func TestActionsAreThoseOfTheCode(t *testing.T) {
	all := map[string]bool{}
	for _, f := range functions(t, load(t)) {
		for action := range granted(t, f) {
			all[action] = true
		}
	}
	if diff := cmp.Diff(sorted(called(t)), sorted(all)); diff != "" {
		t.Errorf("the actions of the code and of the template differ (-code +template):\n%s", diff)
	}
}

// Each function may do its own part alone. That each does what it may is seen in test/trial, where the functions run with these permissions.
func TestActionsByFunction(t *testing.T) {
	configs := []string{"s3:GetObject", "s3:ListBucket"}
	images := []string{"ecr:BatchGetImage", "ecr:DescribeImageScanFindings", "ecr:DescribeImages", "inspector2:ListCoverage", "inspector2:ListFindings"}
	want := map[string][]string{
		"ConfigsFunc":  append([]string{"s3:DeleteObject", "s3:PutObject"}, configs...),
		"SummaryFunc":  append(append(images, "s3:PutObject"), configs...),
		"FindingsFunc": append(append(images, "s3:PutObject"), configs...),
		"StartScanFunc": append([]string{
			"ecr:StartImageScan", "s3:DeleteObject", "s3:PutObject",
			"sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage", "sqs:SendMessage",
		}, append(images, configs...)...),
	}
	for name, f := range functions(t, load(t)) {
		set := map[string]bool{}
		for _, action := range want[name] {
			set[action] = true
		}
		if diff := cmp.Diff(sorted(set), sorted(granted(t, f))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestStatementsAreNarrow(t *testing.T) {
	id := uuid.Must(uuid.NewV7()).String() // what a config's id is
	for name, f := range functions(t, load(t)) {
		for _, s := range statements(t, f) {
			actions := texts(s["Action"])
			service, _, _ := strings.Cut(actions[0], ":")
			resource, ok := s["Resource"].(string)
			if sub, isSub := s["Resource"].(object); isSub {
				resource, ok = texts(sub["Fn::Sub"])[0]+strings.Join(texts(sub["Fn::GetAtt"]), "."), true
			}
			switch {
			case !ok || s["Effect"] != "Allow" || strings.Contains(strings.Join(actions, ""), "*"):
				t.Errorf("%s: %v", name, s)
			case service == "inspector2": // knows no narrower resource
			case service == "ecr" && resource == "arn:${AWS::Partition}:ecr:*:*:repository/*":
			case service == "s3" && actions[0] == "s3:ListBucket" && resource == "arn:${AWS::Partition}:s3:::${Name}":
			case service == "s3" && strings.Contains(resource, "/runs/"):
				onlyObjects(t, resource, "runs/", id)
				if name != "StartScanFunc" {
					t.Errorf("%s may %v on the markers of runs", name, actions)
				}
			case service == "s3" && resource == "arn:${AWS::Partition}:s3:::${Name}/"+s3store.RecordPrefix+"*":
				if name == "ConfigsFunc" || name != "StartScanFunc" && slices.Contains(actions, "s3:DeleteObject") {
					t.Errorf("%s may %v on what is remembered", name, actions)
				}
			case service == "s3" && resource == "arn:${AWS::Partition}:s3:::${Name}/"+s3store.SetAsidePrefix+s3store.RecordPrefix+"*":
				if !slices.Equal(actions, []string{"s3:PutObject"}) {
					t.Errorf("%s may %v on what was set aside", name, actions)
				}
			case service == "s3":
				onlyObjects(t, resource, "", id)
				if name != "ConfigsFunc" && !slices.Equal(actions, []string{"s3:GetObject"}) {
					t.Errorf("%s may %v on configs", name, actions)
				}
			case service == "sqs" && resource == "ScanQueue.Arn":
			default:
				t.Errorf("%s may %v on %s", name, actions, resource)
			}
		}
	}
}

// onlyObjects checks that a pattern of IAM takes in the objects of scan IDs under a prefix, which may be empty, and nothing else.
func onlyObjects(t *testing.T, resource, prefix, id string) {
	t.Helper()
	pattern := strings.ReplaceAll(strings.ReplaceAll(regexp.QuoteMeta(resource), `\*`, ".*"), `\?`, ".")
	matches := regexp.MustCompile("^" + pattern + "$").MatchString
	for key, want := range map[string]bool{
		prefix + id + ".json": true, prefix + "4471c156-29f5-40fe-883b-3cd26738d5a6.json": true, "other/" + id + ".json": false,
		"history/" + id + ".json": false, "h/" + id + ".json": false, "notes.json": false, id: false,
	} {
		if got := matches("arn:${AWS::Partition}:s3:::${Name}/" + key); got != want {
			t.Errorf("%s takes in %s: %t", resource, key, got)
		}
	}
}

// sdk is where the packages of AWS's services lie; the last element is the service.
const sdk = "github.com/aws/aws-sdk-go-v2/service/"

// called derives, from the requests to AWS that the code of the functions makes, the actions that it needs. A request to operation X takes
// an XInput of its service's package, by whatever way it is sent.
func called(t *testing.T) map[string]bool {
	t.Helper()
	actions := map[string]bool{}
	err := filepath.WalkDir("../../internal", func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == "awslocal": // answers such requests, on the user's machine
			return fs.SkipDir
		case entry.IsDir() || filepath.Ext(file) != ".go" || strings.HasSuffix(file, "_test.go"):
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, operation := range operations(parsed) {
			for _, action := range needed(operation) {
				actions[action] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return actions
}

// operations are the operations of a file's requests, as service:operation.
func operations(file *ast.File) []string {
	services := map[string]string{} // by the name that the file has for the package
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		service, ok := strings.CutPrefix(imported, sdk)
		if err != nil || !ok || strings.Contains(service, "/") {
			continue
		}
		name := path.Base(imported)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		services[name] = service
	}
	var found []string
	ast.Inspect(file, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		name, ok := selector.X.(*ast.Ident)
		operation, isInput := strings.CutSuffix(selector.Sel.Name, "Input")
		if ok && isInput && services[name.Name] != "" {
			found = append(found, services[name.Name]+":"+operation)
		}
		return true
	})
	return found
}

// needed are the actions that an operation needs. Mostly both have the same name.
func needed(operation string) []string {
	switch operation {
	case "s3:ListObjectsV2", "s3:HeadBucket":
		return []string{"s3:ListBucket"}
	case "s3:HeadObject":
		return []string{"s3:GetObject"}
	case "ecr:DescribeImageScanFindings": // ECR asks Inspector for enhanced findings, in the caller's name
		return []string{operation, "inspector2:ListCoverage", "inspector2:ListFindings"}
	case "sqs:SendMessageBatch": // whoever sends on works on messages too, which Lambda receives in the function's name
		return []string{"sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage", "sqs:SendMessage"}
	}
	return []string{operation}
}
