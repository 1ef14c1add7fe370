package suppressfile

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json" // encoding/json accepts an object that has a name twice

	"ecr-continuous-scan/internal/suppress"
)

// vexContext is the value of @context in version 0.2 of OpenVEX. The specification writes it without a version, and the tools with one.
var vexContext = regexp.MustCompile(`^https://openvex\.dev/ns(/v0\.2\.[0-9]+)?$`)

// IsOpenVEX reports whether an object of JSON is an OpenVEX document, valid or not: it has @context.
func IsOpenVEX(body []byte) bool {
	var document struct {
		Context any `json:"@context"`
	}
	return json.Unmarshal(body, &document) == nil && document.Context != nil
}

// OpenVEX reads an OpenVEX document of version 0.2. It uses the statements with the status not_affected or fixed about images in Amazon ECR. A statement
// without a text gets this reason; if it is empty, one that names the document. If statements about the same image and package contradict each other, the
// latest one applies, as OpenVEX says. Errors: Invalid, with the place of each wrong value; ErrFull of package suppress.
func OpenVEX(body []byte, reason string, now time.Time) (File, error) {
	if len(body) > MaxSize {
		return File{}, malformed(fmt.Sprintf("The document may have at most %d bytes.", MaxSize))
	}
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		return File{}, malformed("The document is not valid JSON.")
	}
	r := newReader(cmp.Or(reason, "from an OpenVEX document"), now)
	document, isObject := r.object("", value)
	if !isObject {
		return r.result("The OpenVEX document")
	}
	if context, ok := r.required("/@context", document["@context"]); ok && !vexContext.MatchString(context) {
		r.refuse("/@context", "must be https://openvex.dev/ns/v0.2.0")
	}
	r.required("/timestamp", document["timestamp"])
	issued, _ := r.time("/timestamp", document["timestamp"])
	if document["statements"] == nil {
		r.refuse("/statements", "is missing")
	}
	var claims []claim
	for i, s := range r.list("/statements", document["statements"]) {
		if len(claims) > maxClaims {
			return File{}, suppress.ErrFull
		}
		claims = append(claims, r.statement(element("/statements", i), s, issued)...)
	}
	r.addClaims(claims)
	return r.result("The OpenVEX document")
}

// maxClaims limits the work for a document: an element of it can stand for many claims.
const maxClaims = 4 * suppress.MaxCount

// claim is what a statement says about one package, or all, of one product.
type claim struct {
	at        string    // the place of the product
	statement string    // the place of the statement
	time      time.Time // when it was said
	isOpen    bool      // affected or under investigation
	names     []string  // of the vulnerability
	image     image
	pkg       pkg
	draft     suppress.Suppression // without product and package
}

// statement returns the claims of a statement.
func (r *reader) statement(at string, value any, issued time.Time) []claim {
	statement, ok := r.object(at, value)
	if !ok {
		return nil
	}
	c := claim{statement: at, time: issued}
	names, hasNames := r.vulnerability(at+"/vulnerability", statement["vulnerability"])
	said, hasTime := r.time(at+"/timestamp", statement["timestamp"])
	status, hasStatus := r.required(at+"/status", statement["status"])
	impact, hasImpact := r.text(at+"/impact_statement", statement["impact_statement"])
	notes, hasNotes := r.text(at+"/status_notes", statement["status_notes"])
	justification, hasJustification := r.text(at+"/justification", statement["justification"])
	if !hasNames || !hasTime || !hasStatus || !hasImpact || !hasNotes || !hasJustification {
		return nil
	}
	if !said.IsZero() {
		c.time = said
	}
	c.names = names
	switch status {
	case "not_affected":
		if justification == "" && impact == "" {
			r.refuse(at, "must have a justification or an impact_statement, because the status is not_affected")
		}
		c.draft.Justification = justification
	case "fixed":
	case "affected":
		r.skip(Affected, 1)
		c.isOpen = true
	case "under_investigation":
		r.skip(UnderInvestigation, 1)
		c.isOpen = true
	default:
		r.refuse(at+"/status", "must be one of not_affected, affected, fixed, under_investigation")
		return nil
	}
	c.draft.Reason = cmp.Or(oneLine(impact), oneLine(notes), r.reason)
	return r.products(c, at+"/products", statement["products"])
}

// vulnerability returns the names that findings can have: the name of the vulnerability, and its CVE numbers if that is none.
func (r *reader) vulnerability(at string, value any) ([]string, bool) {
	if _, isText := value.(string); isText {
		r.refuse(at, "must be an object with the name of the vulnerability; a text is OpenVEX before version 0.2")
		return nil, false
	}
	v, ok := r.object(at, value)
	if !ok {
		return nil, false
	}
	name, ok := r.required(at+"/name", v["name"])
	if strings.Contains(name, "*") {
		r.unsupported(at+"/name", "is a name with an asterisk, which would be a pattern here")
		return nil, false
	}
	names := []string{name}
	for i, alias := range r.list(at+"/aliases", v["aliases"]) {
		other, isText := r.text(element(at+"/aliases", i), alias)
		ok = ok && isText
		if isCVE(other) && !isCVE(name) && !strings.EqualFold(other, name) {
			names = append(names, other)
		}
	}
	return names, ok
}

func isCVE(name string) bool { return len(name) > 4 && strings.EqualFold(name[:4], "CVE-") }

// time returns a time that must be valid or missing.
func (r *reader) time(at string, value any) (time.Time, bool) {
	s, ok := r.text(at, value)
	if !ok || s == "" {
		return time.Time{}, ok
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		r.refuse(at, "must be a time, such as 2026-11-29T12:00:00Z")
	}
	return t, err == nil
}

// products returns a copy of c for each product and package.
func (r *reader) products(c claim, at string, value any) []claim {
	all := r.list(at, value)
	if len(all) == 0 {
		r.refuse(at, "must name at least one product")
	}
	var claims []claim
	for i, product := range all {
		c.at = element(at, i)
		members, ok := r.object(c.at, product)
		if !ok {
			continue
		}
		id, place := r.packageURL(c.at, members)
		if id == "" {
			r.skipOther(c)
			continue
		}
		image, known, err := parseImage(id)
		if !r.isUsable(c, place, err) {
			continue
		}
		if !known && err == nil {
			r.skipOther(c)
			continue
		}
		c.image = image
		claims = append(claims, r.subcomponents(c, members["subcomponents"])...)
		if len(claims) > maxClaims {
			break
		}
	}
	return claims
}

// isUsable reports whether a product or package without or with an error can be used. An open statement that can't be expressed is used for all
// products or packages, so that it supersedes enough.
func (r *reader) isUsable(c claim, at string, err error) bool {
	switch {
	case err == nil:
		return true
	case !errors.Is(err, errUnsupported):
		r.refuse(at, err.Error())
		return false
	case !c.isOpen:
		r.unsupported(at, err.Error())
	}
	return c.isOpen
}

// skipOther counts a product that is no image in Amazon ECR. Products of open statements are not counted, because the statement is.
func (r *reader) skipOther(c claim) {
	if !c.isOpen {
		r.skip(OtherProducts, 1)
	}
}

// packageURL returns the package URL of a product or subcomponent and its place. It is empty if there is none: OpenVEX also has other names.
func (r *reader) packageURL(at string, members map[string]any) (s, place string) {
	id, _ := r.text(at+"/@id", members["@id"])
	if isPackageURL(id) {
		return id, at + "/@id"
	}
	if members["identifiers"] == nil {
		return "", ""
	}
	identifiers, _ := r.object(at+"/identifiers", members["identifiers"])
	s, _ = r.text(at+"/identifiers/purl", identifiers["purl"])
	return s, at + "/identifiers/purl"
}

func isPackageURL(s string) bool { return len(s) > 4 && strings.EqualFold(s[:4], "pkg:") }

// subcomponents returns a copy of c for each package of a product, or c itself if there are none: then the statement is about all packages.
func (r *reader) subcomponents(c claim, value any) []claim {
	at := c.at + "/subcomponents"
	all := r.list(at, value)
	if len(all) == 0 {
		return []claim{c}
	}
	var claims []claim
	for i, one := range all {
		members, ok := r.object(element(at, i), one)
		if !ok {
			continue
		}
		id, place := r.packageURL(element(at, i), members)
		p, err := pkg{}, error(errNoPackageURL)
		if id != "" {
			p, err = parsePackage(id)
		}
		if r.isUsable(c, cmp.Or(place, element(at, i)), err) {
			c.pkg = p
			claims = append(claims, c)
		}
	}
	return claims
}

var errNoPackageURL = fmt.Errorf("has no package URL: %w", errUnsupported)

// addClaims adds the suppressions of the claims that no later one supersedes.
func (r *reader) addClaims(claims []claim) {
	type numbered struct {
		claim
		i int
	}
	open := map[string][]numbered{} // by name
	for i, c := range claims {
		for _, name := range c.names {
			if c.isOpen {
				open[strings.ToUpper(name)] = append(open[strings.ToUpper(name)], numbered{c, i})
			}
		}
	}
	for i, c := range claims {
		isSuperseded := func(name string) bool {
			return slices.ContainsFunc(open[strings.ToUpper(name)], func(o numbered) bool {
				isLater := o.time.After(c.time) || o.time.Equal(c.time) && o.i > i
				return isLater && o.image.overlaps(c.image) && o.pkg.overlaps(c.pkg)
			})
		}
		switch {
		case c.isOpen:
		case slices.ContainsFunc(c.names, isSuperseded):
			r.skip(Superseded, 1)
		default:
			r.addClaim(c)
		}
	}
}

func (r *reader) addClaim(c claim) {
	c.draft.Package, c.draft.Version = c.pkg.name, c.pkg.version
	for _, name := range c.names {
		c.draft.Vulnerability = name
		for _, draft := range c.image.drafts(c.draft) {
			if !r.isFull() {
				r.add(draft, c.place)
			}
		}
	}
}

// place returns the place that a field of a suppression comes from.
func (c claim) place(field string) string {
	switch field {
	case "/vulnerability":
		return c.statement + "/vulnerability/name"
	case "/reason":
		return c.statement + "/impact_statement"
	case "/justification":
		return c.statement + "/justification"
	case "/package", "/version":
		return c.at + "/subcomponents"
	}
	return c.at
}
