package template

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
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

// The permissions are those of the calls that the code makes, and of those that Lambda makes for it: none is missing and none is too many.
func TestActionsAreThoseOfTheCode(t *testing.T) {
	template := load(t)
	all := map[string]bool{}
	for _, f := range functions(t, template) {
		for action := range granted(t, f) {
			all[action] = true
		}
	}
	want := called(t)
	if len(ofType(t, template, "AWS::Lambda::EventSourceMapping")) > 0 { // Lambda receives the messages in the function's name
		for _, action := range []string{"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"} {
			want[action] = true
		}
	}
	if diff := cmp.Diff(sorted(want), sorted(all)); diff != "" {
		t.Errorf("the actions of the code and of the template differ (-code +template):\n%s", diff)
	}
}

// What statements are about, in the template's words.
const (
	bucket    = "arn:${AWS::Partition}:s3:::${Name}"
	configs   = bucket + "/????????-????-????-????-????????????.json"
	records   = bucket + "/" + s3store.RecordPrefix + "*"
	setAside  = bucket + "/" + s3store.SetAsidePrefix + s3store.RecordPrefix + "*"
	images    = "arn:${AWS::Partition}:ecr:*:*:repository/*"
	visits    = "VisitQueue.Arn"
	inspector = "*" // Inspector knows no narrower resource
)

// Each function may do its own part alone. That each does what it may is seen in test/deployment, where the functions run with these permissions.
func TestPermissions(t *testing.T) {
	read := map[string][]string{
		bucket: {"s3:ListBucket"}, configs: {"s3:GetObject"}, records: {"s3:GetObject"},
		images:    {"ecr:BatchGetImage", "ecr:DescribeImageScanFindings", "ecr:DescribeImages"},
		inspector: {"inspector2:ListCoverage", "inspector2:ListFindings"},
	}
	write := maps.Clone(read)
	maps.Copy(write, map[string][]string{
		records: {"s3:DeleteObject", "s3:GetObject", "s3:PutObject"}, setAside: {"s3:PutObject"},
		images: append(slices.Clone(read[images]), "ecr:StartImageScan"),
		visits: {"sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage", "sqs:SendMessage"},
	})
	want := map[string]map[string][]string{
		"ConfigsFunc": {
			bucket: {"s3:ListBucket"}, configs: {"s3:DeleteObject", "s3:GetObject", "s3:PutObject"}, visits: {"sqs:SendMessage"},
		},
		"SummaryFunc": read, "FindingsFunc": read, "StartScanFunc": write,
	}
	got := map[string]map[string][]string{}
	for name, f := range functions(t, load(t)) {
		got[name] = map[string][]string{}
		for _, s := range statements(t, f) {
			about, isText := s["Resource"].(string)
			if sub, ok := s["Resource"].(object); ok {
				about, isText = strings.Join(append(texts(sub["Fn::Sub"])[:1], texts(sub["Fn::GetAtt"])...), ""), true
			}
			if !isText || s["Effect"] != "Allow" || s["Condition"] != nil || s["NotAction"] != nil || got[name][about] != nil {
				t.Errorf("%s: %v is no plain statement, or the second about %s", name, s, about)
			}
			got[name][about] = slices.Sorted(slices.Values(texts(s["Action"])))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A read stores nothing, so the functions that answer reads have no permission to write, on anything.
func TestReadersWriteNothing(t *testing.T) {
	all := functions(t, load(t))
	for _, name := range []string{"SummaryFunc", "FindingsFunc"} {
		actions := sorted(granted(t, all[name]))
		if len(actions) == 0 {
			t.Errorf("%s may do nothing at all", name)
		}
		for _, action := range actions {
			if !reads(action) {
				t.Errorf("%s may %s", name, action)
			}
		}
	}
}

// reads says whether an action changes nothing, by the word that AWS begins its name with.
func reads(action string) bool {
	_, name, _ := strings.Cut(action, ":")
	return regexp.MustCompile(`^(Get|BatchGet|List|Describe)[A-Za-z0-9]*$`).MatchString(name)
}

// The pattern of configs takes in the objects of scan IDs at the bucket's root, and nothing else.
func TestConfigsPattern(t *testing.T) {
	id := uuid.Must(uuid.NewV7()).String() // what a config's id is
	pattern := strings.ReplaceAll(strings.ReplaceAll(regexp.QuoteMeta(configs), `\*`, ".*"), `\?`, ".")
	matches := regexp.MustCompile("^" + pattern + "$").MatchString
	for key, want := range map[string]bool{
		id + ".json": true, "4471c156-29f5-40fe-883b-3cd26738d5a6.json": true, "other/" + id + ".json": false,
		"runs/" + id + ".json": false, s3store.RecordPrefix + id + ".json": false, "h/" + id + ".json": false, "notes.json": false, id: false,
	} {
		if got := matches(bucket + "/" + key); got != want {
			t.Errorf("%s takes in %s: %t", configs, key, got)
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
	case "sqs:SendMessageBatch": // IAM knows one action for both
		return []string{"sqs:SendMessage"}
	}
	return []string{operation}
}
