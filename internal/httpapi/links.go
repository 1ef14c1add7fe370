package httpapi

import (
	"cmp"
	"maps"
	"net/http"
	"net/url"
)

// links makes the URLs of the API as a client sees them.
type links struct {
	access Access
	base   string // "" if it is unknown
	key    string // the key in the URLs; "" if there is none
	// config is the scan ID of the only config that the key opens; "" if the key opens all.
	config string
}

// links returns the links for the client of r. They have the key of the request's URL, but only if the request has no key in a header: Access ignores
// the URL key then, so it may be anything, even the full key. A key in a header is never added.
func (a *API) links(r *http.Request) links {
	l := links{access: a.Access, base: a.BaseURL(r)}
	_, header := headerKey(r)
	if key, ok := urlKey(r); ok && !header {
		l.key = key
		if a.Access.grantConfig(key, r) == mayRead {
			l.config = configOf(r.URL.EscapedPath())
		}
	}
	return l
}

// to returns the URL of a path and query. A URL of one config has the key of that config, so that whoever gets it can read nothing else. A link to
// a page keeps the key of the request instead, because the page has links to other pages. It returns "" if the base URL is unknown, or if the key
// does not open the path.
func (l links) to(path string, values url.Values) string {
	of := configOf(path)
	if l.base == "" || l.config != "" && l.config != of {
		return ""
	}
	if l.key != "" {
		key := l.key
		if values.Get("format") != formatHTML {
			key = cmp.Or(l.access.configKey(of), key)
		}
		values = maps.Clone(values)
		if values == nil {
			values = url.Values{}
		}
		values.Set("key", key)
	}
	if len(values) == 0 {
		return l.base + path
	}
	return l.base + path + "?" + values.Encode()
}

// ofConfig returns links with the key of the config to which the path belongs. It returns l if the path belongs to no config, or if configs have no
// keys.
func (l links) ofConfig(path string) links {
	id := configOf(path)
	if key := l.access.configKey(id); key != "" {
		l.key, l.config = key, id
	}
	return l
}

// ofFeed returns the links in a feed at this path. A feed of one config has only the key of that config.
func (l links) ofFeed(path string) links {
	if l.key == "" {
		return l
	}
	return l.ofConfig(path)
}

// link is links.to for one link.
func (a *API) link(r *http.Request, path string, values url.Values) string {
	return a.links(r).to(path, values)
}
