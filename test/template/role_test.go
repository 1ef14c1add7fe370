package template

import (
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/ecrscan"
	"ecr-continuous-scan/internal/setup"
)

// The functions may assume only the role that the parameter names, and only if it names one.
func TestRegistryRole(t *testing.T) {
	template := load(t)
	for name, f := range functions(t, template) {
		var choices []any
		for _, policy := range at(t, f, "Policies").([]any) {
			for _, s := range at(t, policy, "Statement").([]any) {
				if choice, ok := s.(object)["Fn::If"]; ok {
					choices = append(choices, choice)
				}
			}
		}
		variable := at(t, f, "Environment", "Variables").(object)[setup.RegistryRole]
		if name == "ConfigsFunc" {
			if len(choices) != 0 || variable != nil {
				t.Errorf("ConfigsFunc has the role: %v, %v", choices, variable)
			}
			continue
		}
		want := []any{[]any{"HasRegistryRole", object{
			"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": object{"Fn::Sub": roles},
		}, object{"Ref": "AWS::NoValue"}}}
		if diff := cmp.Diff(want, choices); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		// Without the parameter, the ARN has only the account.
		wantVariable := object{"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:role/${RegistryRole}"}
		if diff := cmp.Diff(any(wantVariable), variable); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// The role in the account of a registry permits exactly the calls of the code, and starting scans only to visits.
func TestMemberRolePermissions(t *testing.T) {
	role := at(t, loadFile(t, "deploy/member-role.yaml"), "Resources", "Role", "Properties")
	policies := at(t, role, "Policies").([]any)
	always, visits := map[string]bool{}, map[string]bool{}
	for _, s := range at(t, policies[0], "PolicyDocument", "Statement").([]any) {
		into := always
		if condition := s.(object)["Condition"]; condition != nil {
			into = visits
			want := object{"StringLike": object{"aws:userid": "*:" + ecrscan.VisitSession}}
			if diff := cmp.Diff(any(want), condition); diff != "" {
				t.Errorf("the condition for visits (-want +got):\n%s", diff)
			}
		}
		for _, action := range texts(s.(object)["Action"]) {
			into[action] = true
		}
	}
	all := functions(t, load(t))
	ofECR := func(sets ...map[string]bool) []string {
		var actions []string
		for _, set := range sets {
			actions = append(actions, sorted(set)...)
		}
		return slices.Sorted(slices.Values(slices.DeleteFunc(actions, func(a string) bool { return !strings.HasPrefix(a, "ecr:") && !strings.HasPrefix(a, "inspector2:") })))
	}
	if diff := cmp.Diff(ofECR(granted(t, all["SummaryFunc"])), sorted(always)); diff != "" || len(policies) != 1 {
		t.Errorf("the actions of SummaryFunc and of a session that reads differ (-function +role):\n%s", diff)
	}
	if diff := cmp.Diff(ofECR(granted(t, all["StartScanFunc"])), ofECR(always, visits)); diff != "" {
		t.Errorf("the actions of StartScanFunc and of a visit differ (-function +role):\n%s", diff)
	}
	if diff := cmp.Diff(ofECR(called(t)), ofECR(always, visits)); diff != "" {
		t.Errorf("the actions of the code and of the role differ (-code +role):\n%s", diff)
	}
}

// The role trusts only the roles of the functions that call ECR, each with its own name of sessions.
func TestMemberRoleTrust(t *testing.T) {
	role := at(t, loadFile(t, "deploy/member-role.yaml"), "Resources", "Role", "Properties")
	trusted := map[string][]string{}
	for _, s := range at(t, role, "AssumeRolePolicyDocument", "Statement").([]any) {
		session := at(t, s, "Condition", "StringEquals", "sts:RoleSessionName").(string)
		for _, pattern := range principals(at(t, s, "Condition", "ArnLike", "aws:PrincipalArn")) {
			for name := range functions(t, load(t)) {
				arn := "arn:${AWS::Partition}:iam::${ServiceAccount}:role/${ServiceStack}-" + name + "Role-1A2B"
				if ok, err := path.Match(strings.ReplaceAll(pattern, "/", "."), strings.ReplaceAll(arn, "/", ".")); ok && err == nil {
					trusted[session] = append(trusted[session], name)
				}
			}
		}
		slices.Sort(trusted[session])
	}
	want := map[string][]string{ecrscan.ReadSession: {"FindingsFunc", "SummaryFunc"}, ecrscan.VisitSession: {"StartScanFunc"}}
	if diff := cmp.Diff(want, trusted); diff != "" {
		t.Errorf("the trusted functions (-want +got):\n%s", diff)
	}
}

// principals returns the patterns of a condition: one !Sub, or a list of them.
func principals(v any) []string {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	var all []string
	for _, one := range list {
		all = append(all, texts(one.(object)["Fn::Sub"])...)
	}
	return all
}
