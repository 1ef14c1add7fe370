package render

import (
	"testing"

	"ecr-continuous-scan/internal/scan"
)

func TestConsoleURL(t *testing.T) {
	for region, want := range map[string]string{
		"us-west-2":     "https://us-west-2.console.aws.amazon.com/ecr/repositories/private/123456789012/test/ubuntu?region=us-west-2",
		"cn-north-1":    "https://cn-north-1.console.amazonaws.cn/ecr/repositories/private/123456789012/test/ubuntu?region=cn-north-1",
		"us-gov-west-1": "https://us-gov-west-1.console.amazonaws-us-gov.com/ecr/repositories/private/123456789012/test/ubuntu?region=us-gov-west-1",
	} {
		if got := ConsoleURL(scan.Repository{Registry: "123456789012", Region: region, Name: "test/ubuntu"}); got != want {
			t.Errorf("%s: %s", region, got)
		}
	}
}
