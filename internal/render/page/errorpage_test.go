package page

import (
	"strings"
	"testing"

	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/rendertest"
)

func errorPageOf(t *testing.T, p Problem, to Link) []byte {
	t.Helper()
	b, err := Error(p, to)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestErrorPage(t *testing.T) {
	wrong := Problem{
		Status: 400, Title: "Bad Request", Detail: "The query has unknown or invalid parameters.", Advice: "Correct the address.",
		Errors: []scan.FieldError{{Pointer: "/a~1b\x00<i>", Detail: "is not a parameter"}, {Detail: "must be JSON"}},
	}
	page := errorPageOf(t, wrong, linkTo)
	rendertest.Golden(t, "page-error.html", page)
	checkFrame(t, page, "400 Bad Request", "Summary Bad Request")
	if !strings.Contains(string(page), "<code>a/b&lt;i&gt;</code> is not a parameter") {
		t.Errorf("the wrong parameter: %s", page)
	}
	failed := Problem{
		Status: 409, Title: "Conflict", Detail: "Gate failed.", ReasonsOmitted: 3,
		Reasons: []render.GateReason{{Image: "test/ubuntu:16.04", Reason: "above max", Detail: "HIGH: 2"}, {Reason: "no images"}},
	}
	main := textOf(elements(t, errorPageOf(t, failed, linkTo), "main")[0])
	if want := "Gate failed. test/ubuntu:16.04: above max (HIGH: 2)no imagesand 3 more"; !strings.Contains(main, want) {
		t.Errorf("without %q: %s", want, main)
	}
}

// A client without a key learns nothing about the API: the page has no link to it.
func TestErrorPageWithoutLinks(t *testing.T) {
	page := errorPageOf(t, Problem{Status: 401, Title: "Unauthorized", Detail: "This API needs a key.", NeedsKey: true}, nil)
	rendertest.Golden(t, "page-error-key.html", page)
	for _, a := range elements(t, page, "a") {
		if href := attribute(a, "href"); !strings.HasPrefix(href, "#") {
			t.Errorf("%q leads to %s", textOf(a), href)
		}
	}
}
