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

// statements returns the permissions of a function in the template. SAM adds permissions for logs and traces.
func statements(t *testing.T, function object) []object {
	t.Helper()
	var all []object
	for _, policy := range at(t, function, "Policies").([]any) {
		for _, s := range at(t, policy, "Statement").([]any) {
			if choice, ok := s.(object)["Fn::If"].([]any); ok { // a statement that a stack has only with a parameter
				s = choice[1]
			}
			all = append(all, s.(object))
		}
	}
	return all
}

// granted returns the actions that a function may use.
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

// The permitted actions are exactly those of the calls that the code makes and that Lambda makes for it.
func TestActionsMatchTheCode(t *testing.T) {
	template := load(t)
	all := map[string]bool{}
	for _, f := range functions(t, template) {
		for action := range granted(t, f) {
			all[action] = true
		}
	}
	want := called(t)
	if len(ofType(t, template, "AWS::Lambda::EventSourceMapping")) > 0 { // Lambda receives the messages with the function's role
		for _, action := range []string{"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"} {
			want[action] = true
		}
	}
	if diff := cmp.Diff(sorted(want), sorted(all)); diff != "" {
		t.Errorf("the actions of the code and of the template differ (-code +template):\n%s", diff)
	}
}

// Resources of statements, as in the template.
const (
	bucket       = "arn:${AWS::Partition}:s3:::${Name}"
	configs      = bucket + "/????????-????-????-????-????????????.json"
	records      = bucket + "/" + s3store.RecordPrefix + "*"
	packed       = bucket + "/" + s3store.PackedConfigsKey
	suppressions = bucket + "/" + s3store.SuppressionsKey
	setAside     = bucket + "/" + s3store.SetAsidePrefix + s3store.RecordPrefix + "*"
	images       = "arn:${AWS::Partition}:ecr:*:*:repository/*"
	visits       = "VisitQueue.Arn"
	roles        = "arn:${AWS::Partition}:iam::*:role/${RegistryRole}"
	inspector    = "*" // Inspector supports no narrower resource
)

// Each function has only the permissions that it needs. test/deployment runs the functions with these permissions.
func TestPermissions(t *testing.T) {
	read := map[string][]string{
		bucket: {"s3:ListBucket"}, configs: {"s3:GetObject"}, packed: {"s3:GetObject"}, records: {"s3:GetObject"},
		suppressions: {"s3:GetObject"},
		images:       {"ecr:BatchGetImage", "ecr:DescribeImageScanFindings", "ecr:DescribeImages"},
		inspector:    {"inspector2:ListCoverage", "inspector2:ListFindings"},
		roles:        {"sts:AssumeRole"},
	}
	write := maps.Clone(read)
	maps.Copy(write, map[string][]string{
		packed: {"s3:GetObject", "s3:PutObject"}, records: {"s3:DeleteObject", "s3:GetObject", "s3:PutObject"}, setAside: {"s3:PutObject"},
		images: slices.Sorted(slices.Values(append(slices.Clone(read[images]), "ecr:BatchGetRepositoryScanningConfiguration", "ecr:DescribeRepositories", "ecr:StartImageScan"))),
		visits: {"sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage", "sqs:SendMessage"},
	})
	want := map[string]map[string][]string{
		"ConfigsFunc": {
			bucket: {"s3:ListBucket"}, configs: {"s3:DeleteObject", "s3:GetObject", "s3:PutObject"}, packed: {"s3:GetObject", "s3:PutObject"},
			suppressions: {"s3:GetObject", "s3:PutObject"}, records: {"s3:GetObject"}, visits: {"sqs:SendMessage"},
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
				t.Errorf("%s: %v is not a plain statement, or a second one for %s", name, s, about)
			}
			got[name][about] = slices.Sorted(slices.Values(texts(s["Action"])))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The functions that only read have no permission to write.
func TestReadersHaveNoPermissionToWrite(t *testing.T) {
	all := functions(t, load(t))
	for _, name := range []string{"SummaryFunc", "FindingsFunc"} {
		actions := sorted(granted(t, all[name]))
		actions = slices.DeleteFunc(actions, func(action string) bool { return action == "sts:AssumeRole" }) // TestMemberRole checks what the role permits
		if len(actions) == 0 {
			t.Errorf("%s has no permissions", name)
		}
		for _, action := range actions {
			if !reads(action) {
				t.Errorf("%s may %s", name, action)
			}
		}
	}
}

// reads reports whether an action only reads, according to the beginning of its name.
func reads(action string) bool {
	_, name, _ := strings.Cut(action, ":")
	return regexp.MustCompile(`^(Get|BatchGet|List|Describe)[A-Za-z0-9]*$`).MatchString(name)
}

// The resource pattern of configs matches exactly the objects "<scan ID>.json" in the bucket's root.
func TestConfigsPattern(t *testing.T) {
	id := uuid.Must(uuid.NewV7()).String() // the form of a config's id
	pattern := strings.ReplaceAll(strings.ReplaceAll(regexp.QuoteMeta(configs), `\*`, ".*"), `\?`, ".")
	matches := regexp.MustCompile("^" + pattern + "$").MatchString
	for key, want := range map[string]bool{
		id + ".json": true, "4471c156-29f5-40fe-883b-3cd26738d5a6.json": true, "other/" + id + ".json": false,
		"runs/" + id + ".json": false, s3store.RecordPrefix + id + ".json": false, "h/" + id + ".json": false, "notes.json": false, id: false,
	} {
		if got := matches(bucket + "/" + key); got != want {
			t.Errorf("%s matches %s: %t", configs, key, got)
		}
	}
}

// sdk is the import path of AWS's service packages. The last element is the service.
const sdk = "github.com/aws/aws-sdk-go-v2/service/"

// called returns the actions that the calls of the functions' code need. A call of operation X always uses the type
// XInput of the service's package.
func called(t *testing.T) map[string]bool {
	t.Helper()
	actions := map[string]bool{}
	err := filepath.WalkDir("../../internal", func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == "awslocal": // implements AWS services, does not call them
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

// operations returns the operations of a file's calls, as service:operation.
func operations(file *ast.File) []string {
	services := map[string]string{} // by the package name in the file
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
		if selector.Sel.Name == "NewAssumeRoleProvider" {
			found = append(found, "sts:AssumeRole")
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

// needed returns the actions that an operation needs. Most operations need the action of the same name.
func needed(operation string) []string {
	switch operation {
	case "s3:ListObjectsV2", "s3:HeadBucket":
		return []string{"s3:ListBucket"}
	case "s3:HeadObject":
		return []string{"s3:GetObject"}
	case "ecr:DescribeImageScanFindings": // ECR reads enhanced findings from Inspector with the caller's permissions
		return []string{operation, "inspector2:ListCoverage", "inspector2:ListFindings"}
	case "sqs:SendMessageBatch": // IAM has one action for both
		return []string{"sqs:SendMessage"}
	}
	return []string{operation}
}
