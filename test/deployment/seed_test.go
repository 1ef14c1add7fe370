//go:build deployment

package deployment

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
)

// repository is one of the walkthrough's repositories. The local server's embedded ECR has the same ones.
type repository struct {
	Name   string
	Images []struct {
		Tags     []string
		Findings []map[string]any
	}
}

// seed adds the walkthrough's images and the results of their scans to the stand-in.
func (s *standIn) seed() {
	s.t.Helper()
	client := ecr.New(ecr.Options{Region: region, BaseEndpoint: &s.endpoint, Credentials: credentials.NewStaticCredentialsProvider("deployment", "deployment", "")})
	for _, repo := range walkthrough(s.t) {
		if _, err := client.CreateRepository(s.t.Context(), &ecr.CreateRepositoryInput{RepositoryName: &repo.Name}); err != nil {
			s.t.Fatal(err)
		}
		for _, image := range repo.Images {
			for _, tag := range image.Tags {
				manifest := aws.String(manifestOf(s.t, repo.Name+":"+tag))
				in := &ecr.PutImageInput{RepositoryName: &repo.Name, ImageManifest: manifest, ImageTag: &tag}
				if _, err := client.PutImage(s.t.Context(), in); err != nil {
					s.t.Fatal(err)
				}
				s.post("/moto-api/static/ecr/scan-finding-results", scanResult(s.t, repo.Name, tag, image.Findings))
			}
		}
	}
}

func walkthrough(t *testing.T) []repository {
	t.Helper()
	text, err := os.ReadFile("../../internal/awslocal/samples/walkthrough.json")
	if err != nil {
		t.Fatal(err)
	}
	var all, wanted []repository
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	for _, repo := range all {
		switch repo.Name {
		case "amazonlinux", "test/centos", "test/ubuntu":
			wanted = append(wanted, repo)
		}
	}
	if len(wanted) != 3 {
		t.Fatalf("found %d of the walkthrough's 3 repositories", len(wanted))
	}
	return wanted
}

func manifestOf(t *testing.T, image string) string {
	return string(marshal(t, map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
		"config": map[string]any{"mediaType": "application/vnd.docker.container.image.v1+json", "size": 1, "digest": image},
		"layers": []any{map[string]any{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": 1, "digest": image}},
	}))
}

// scanResult returns moto's response to DescribeImageScanFindings, for a scan that has just completed.
func scanResult(t *testing.T, name, tag string, findings []map[string]any) []byte {
	counts := map[string]int{}
	for _, f := range findings {
		counts[f["severity"].(string)]++
	}
	if findings == nil {
		findings = []map[string]any{}
	}
	return marshal(t, map[string]any{"region": region, "results": []any{map[string]any{
		"registryId": "123456789012", "repositoryName": name, "imageId": map[string]any{"imageTag": tag},
		"imageScanStatus": map[string]any{"status": "COMPLETE", "description": "The scan was completed successfully."},
		"imageScanFindings": map[string]any{
			"imageScanCompletedAt": time.Now().Unix(), "vulnerabilitySourceUpdatedAt": time.Now().Unix(),
			"findings": findings, "findingSeverityCounts": counts,
		},
	}}})
}

func marshal(t *testing.T, value any) []byte {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
