//go:build feedreaders

package feedreaders

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mmcdole/gofeed"
	"github.com/mmcdole/gofeed/atom"
)

// subscription is a feed in a feed reader. A call fetches the feed, returns how many entries the reader has and how
// many of them are unread, and marks all as read.
type subscription func(t *testing.T) (kept, unread int)

// readers returns the functions that subscribe to a feed, by reader.
func readers() map[string]func(t *testing.T, url string) subscription {
	return map[string]func(*testing.T, string) subscription{
		"newsboat": newsboat, "sfeed": sfeed, "rss2email": rss2email, "feedparser": feedparser, "gofeed": gofeedAtom,
	}
}

// run runs a command in its own home folder and returns its standard output.
func run(t *testing.T, home, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	c.Dir = home
	c.Env = []string{"HOME=" + home, "PATH=/usr/bin:/bin", "LANG=C.UTF-8", "TERM=dumb", "XDG_CONFIG_HOME=" + home + "/.config", "XDG_DATA_HOME=" + home + "/.data"}
	var stderr strings.Builder
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, stderr.String())
	}
	return string(out)
}

func write(t *testing.T, home, name, text string) string {
	t.Helper()
	file := filepath.Join(home, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// python runs a script with Debian's Python, which has the required packages. The script prints one JSON value.
func python(t *testing.T, home, script string, into any, args ...string) {
	t.Helper()
	out := run(t, home, "/usr/bin/python3", append([]string{"-c", script}, args...)...)
	if err := json.Unmarshal([]byte(out), into); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
}

// newsboat stores its articles in a database. Marking them as read there has the same effect as newsboat's key A.
func newsboat(t *testing.T, url string) subscription {
	home := t.TempDir()
	urls, config, cache := write(t, home, "urls", url+"\n"), write(t, home, "config", ""), filepath.Join(home, "cache.db")
	return func(t *testing.T) (kept, unread int) {
		t.Helper()
		flags := []string{"-u", urls, "-C", config, "-c", cache, "-x"}
		run(t, home, "newsboat", append(flags, "reload")...)
		output := run(t, home, "newsboat", append(flags, "print-unread")...)
		var counts [2]int
		python(t, home, `
import json, sqlite3, sys
db = sqlite3.connect(sys.argv[1])
print(json.dumps(db.execute("select count(*), coalesce(sum(unread), 0) from rss_item where deleted = 0").fetchone()))
db.execute("update rss_item set unread = 0")
db.commit()
`, &counts, cache)
		if !strings.HasPrefix(output, fmt.Sprint(counts[1], " ")) {
			t.Errorf("newsboat has %d unread articles in its database but prints %q", counts[1], output)
		}
		return counts[0], counts[1]
	}
}

// sfeed stores a line for each entry but not which entries were read. This function remembers their ids.
func sfeed(t *testing.T, url string) subscription {
	home := t.TempDir()
	config := write(t, home, "sfeedrc", fmt.Sprintf("sfeedpath=%q\nfeeds() {\n\tfeed \"findings\" '%s'\n}\n", home, url))
	seen := map[string]bool{}
	return func(t *testing.T) (kept, unread int) {
		t.Helper()
		if log := run(t, home, "sfeed_update", config); strings.Contains(log, "FAIL") {
			t.Errorf("sfeed: %s", log)
		}
		lines, err := os.ReadFile(filepath.Join(home, "findings"))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(lines)) {
			kept++
			id := strings.Split(line, "\t")[5]
			if !seen[id] {
				unread++
			}
			seen[id] = true
		}
		return kept, unread
	}
}

// rss2email sends a mail for each entry that it has not sent before.
func rss2email(t *testing.T, url string) subscription {
	home := t.TempDir()
	config, data := filepath.Join(home, "config"), filepath.Join(home, "data.json")
	r2e := func(t *testing.T, args ...string) {
		run(t, home, "r2e", append([]string{"-c", config, "-d", data}, args...)...)
	}
	r2e(t, "new", "me@example.org")
	settings, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(home, "mail"), 0o700); err != nil {
		t.Fatal(err)
	}
	maildir := strings.NewReplacer("email-protocol = sendmail", "email-protocol = maildir", "maildir-path = ~/Maildir", "maildir-path = "+filepath.Join(home, "mail"))
	write(t, home, "config", maildir.Replace(string(settings)))
	r2e(t, "add", "findings", url)
	return func(t *testing.T) (kept, unread int) {
		t.Helper()
		r2e(t, "run")
		var feeds struct {
			Feeds []struct{ Seen map[string]any }
		}
		known, err := os.ReadFile(data)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(known, &feeds); err != nil || len(feeds.Feeds) != 1 {
			t.Fatalf("rss2email's data is %s: %v", known, err)
		}
		mails, err := filepath.Glob(filepath.Join(home, "mail", "INBOX", "new", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, mail := range mails {
			if err := os.Remove(mail); err != nil {
				t.Fatal(err)
			}
		}
		return len(feeds.Feeds[0].Seen), len(mails)
	}
}

// seenBy counts the ids and how many of them are new to a reader that remembers ids. Entries with the same id count
// once.
func seenBy(seen map[string]bool, ids []string) (kept, unread int) {
	now := map[string]bool{}
	for _, id := range ids {
		now[id] = true
		if !seen[id] {
			unread++
		}
		seen[id] = true
	}
	return len(now), unread
}

func feedparser(t *testing.T, url string) subscription {
	home, seen := t.TempDir(), map[string]bool{}
	return func(t *testing.T) (kept, unread int) {
		t.Helper()
		var feed struct {
			Bozo    bool
			Version string
			Entries []struct{ ID, Title, Link, Content string }
		}
		python(t, home, `
import feedparser, json, sys
f = feedparser.parse(sys.argv[1])
print(json.dumps({"bozo": bool(f.bozo), "version": f.version, "entries": [
    {"id": e.id, "title": e.title, "link": e.link, "content": e.content[0].value} for e in f.entries]}))
`, &feed, url)
		if feed.Bozo || feed.Version != "atom10" {
			t.Errorf("feedparser: version %q, reports an invalid feed: %t", feed.Version, feed.Bozo)
		}
		var ids []string
		for _, e := range feed.Entries {
			ids = append(ids, e.ID)
			if e.Title == "" || !strings.HasPrefix(e.Link, "http") || !strings.Contains(e.Content, "<th>Severity</th> <td>") {
				t.Errorf("feedparser: %+v", e)
			}
		}
		return seenBy(seen, ids)
	}
}

// npmPackages is the folder with the packages that .ci/run installs.
const npmPackages = "../../.tools/feedreaders/node_modules"

// npmReaders are functions of JavaScript that read a feed with a package. They return the id, title, link and date of each entry.
const npmReaders = `{
	'rss-parser': async text => (await new (require('rss-parser'))().parseString(text)).items.map(i => [i.id, i.title, i.link, i.isoDate]),
	'npm feedparser': text => new Promise((done, fail) => {
		const items = [], parser = new (require('feedparser'))({});
		parser.on('error', fail).on('data', i => items.push([i.guid, i.title, i.link, i.pubdate])).on('end', () => done(items)).end(text);
	}),
}`

// readWithNpm reads feeds with the packages of npm in one process. It returns the entries by package and URL.
func readWithNpm(t *testing.T, urls []string) (entries map[string]map[string][][4]string) {
	t.Helper()
	packages, err := filepath.Abs(npmPackages)
	if err != nil {
		t.Fatal(err)
	}
	script := "import('module').then(async m => { const require = m.createRequire('" + packages + "/'), readers = " + npmReaders + `, all = {};
for (const name in readers) {
	all[name] = {};
	for (const url of process.argv.slice(1)) all[name][url] = await readers[name](await (await fetch(url)).text());
}
console.log(JSON.stringify(all)) })`
	out := run(t, t.TempDir(), "node", append([]string{"-e", script}, urls...)...)
	if err := json.Unmarshal([]byte(out), &entries); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return entries
}

func get(t *testing.T, url string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	if res.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s", url, res.Status)
	}
	return res
}

func gofeedAtom(_ *testing.T, url string) subscription {
	seen := map[string]bool{}
	return func(t *testing.T) (kept, unread int) {
		t.Helper()
		feed, err := (&atom.Parser{}).Parse(get(t, url).Body)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, e := range feed.Entries {
			ids = append(ids, e.ID)
		}
		return seenBy(seen, ids)
	}
}

// gofeedAny reads any format.
func gofeedAny(_ *testing.T, url string) subscription {
	seen := map[string]bool{}
	return func(t *testing.T) (kept, unread int) {
		t.Helper()
		feed, err := gofeed.NewParser().Parse(get(t, url).Body)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, item := range feed.Items {
			ids = append(ids, item.GUID)
			if item.PublishedParsed == nil || item.UpdatedParsed == nil || item.Content == "" || item.Link == "" {
				t.Errorf("gofeed: %+v", item)
			}
		}
		return seenBy(seen, ids)
	}
}
