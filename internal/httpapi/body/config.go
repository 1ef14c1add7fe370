package body

import (
	"net/http"

	"ecr-continuous-scan/internal/scan"
)

// Config reads a scan config from the request body. The body must be one JSON object. Each field must be known, have the
// right type and be given once. Config also checks the values, so that one response names everything that is wrong.
func Config(w http.ResponseWriter, r *http.Request) (scan.Config, error) {
	if _, err := wantMediaType(r, "scan config", typeJSON); err != nil {
		return scan.Config{}, err
	}
	body, err := readBody(w, r, "A scan config", MaxObject)
	if err != nil {
		return scan.Config{}, err
	}
	return parseConfig(body)
}

func parseConfig(body []byte) (scan.Config, error) {
	members, wrong, err := parseObject(body, "region, registry, repository and optional fields")
	if err != nil {
		return scan.Config{}, err
	}
	var c scan.Config
	for _, m := range members {
		wrong = append(wrong, setField(&c, m)...)
	}
	wrong = append(wrong, ruleErrors(c.Validate(), wrong)...)
	if len(wrong) == 0 {
		return c, nil
	}
	return scan.Config{}, scan.NewInvalid("The scan config has missing or invalid fields.", "fields", wrong)
}

// setField sets the field of c that m names, and returns the errors of the value.
func setField(c *scan.Config, m member) []scan.FieldError {
	var detail string
	switch m.name {
	case "region":
		detail = setString(&c.Region, m.value)
	case "registry":
		detail = setString(&c.Registry, m.value)
	case "repository":
		detail = setString(&c.Repository, m.value)
	case "tags":
		return setList(&c.Tags, m)
	case "exclude":
		return setList(&c.Exclude, m)
	case "newest":
		if !decode(m.value, &c.Newest) || c.Newest == 0 {
			detail = scan.NewestRule
		}
	case "used":
		detail = setOptional(&c.Used, m.value, scan.UsedRule)
	case "untagged":
		if !decode(m.value, &c.Untagged) {
			detail = "must be true or false"
		}
	case "name":
		detail = setOptional(&c.Name, m.value, scan.LabelRule)
	case "owner":
		detail = setOptional(&c.Owner, m.value, scan.LabelRule)
	case "id", "created", "updated":
		detail = "is set by the service; leave it out"
	default:
		detail = "is not a field of a scan config; the fields are region, registry, repository, tags, exclude, newest, used, untagged, name and owner"
	}
	if detail == "" {
		return nil
	}
	return []scan.FieldError{{Pointer: scan.PointerTo(m.name), Detail: detail}}
}
