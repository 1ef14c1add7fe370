//go:build deployment

package deployment

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// checkCLI compares the command of aws.py with the AWS CLI itself. BUCKET is a bucket for it.
func (s *standIn) checkCLI() {
	t := s.t
	t.Helper()
	real, err := exec.LookPath("aws")
	if err != nil {
		t.Fatal(err)
	}
	mine := s.env
	defer func() { s.env = mine }()
	itself := append(slices.Clone(mine), "PATH="+filepath.Dir(real)+string(os.PathListSeparator)+os.Getenv("PATH"))
	for _, line := range []string{
		"aws --version",
		"AWS_REGION=eu-west-1 aws configure list",
		"AWS_PROFILE=none aws sts get-caller-identity",
		"env -u AWS_REGION aws sts get-caller-identity --output json",
		"echo text | aws s3 cp - s3://$BUCKET/text && aws s3 cp s3://$BUCKET/text -",
		"cd docs && aws s3api put-object --bucket $BUCKET --key body --body api.md --metadata 'a=b c' --query ETag",
		"aws lambda invoke --function-name none /dev/null",
		"aws s3 cp none s3://$BUCKET/none",
		"aws sts no-such-command 2>&1 | tail -n 3",
	} {
		s.env = mine
		out, code, errs := s.try(line)
		s.env = itself
		wantOut, wantCode, wantErrs := s.try(line)
		if out != wantOut || code != wantCode || errs != wantErrs {
			t.Errorf("%s\nexit code %d\n%s%s\nThe AWS CLI itself: exit code %d\n%s%s", line, code, out, errs, wantCode, wantOut, wantErrs)
		}
	}
	if line := "s3api put-object --bucket " + strings.TrimSpace(s.shell("echo $BUCKET")) + " --key body --body api.md --metadata a=b c --query ETag\n"; strings.Count(readFile(t, s.calls), line) != 1 {
		t.Errorf("the recorded calls have not once %q", line)
	}
}
