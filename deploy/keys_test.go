package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	baseURL = "https://abc.execute-api.us-west-2.amazonaws.com/Prod"
	// The user's own keys.
	ownFull = "own-full-key-of-the-user"
	ownRead = "own-read-key-of-the-user"
)

func (w *world) keyFile() keyFile {
	return keyFile(filepath.Join(w.dir, ".ecr-scan-keys", "watch.123456789012.us-west-2.json"))
}

// kept returns the keys that the machine stores.
func (w *world) kept() keys { return w.read(w.keyFile()) }

func (w *world) read(f keyFile) keys {
	w.t.Helper()
	k, err := f.read()
	if err != nil {
		w.t.Fatal(err)
	}
	return k
}

func (w *world) write(f keyFile, k keys) {
	w.t.Helper()
	if err := f.write(k); err != nil {
		w.t.Fatal(err)
	}
}

// keep stores the keys of the deployed stack on the machine.
func (w *world) keep() keys {
	k := keys{newKey(), newKey()}
	w.write(w.keyFile(), k)
	return k
}

// closedWorld returns a world with a stack that has both keys.
func closedWorld(t *testing.T) *world {
	answers := deployable()
	answers["cloudformation describe-stacks"] = []answer{stackIs("UPDATE_COMPLETE")}
	answers["cloudformation update-stack"] = []answer{{}}
	answers["cloudformation wait"] = []answer{{}}
	return newWorld(t, answers)
}

func west() Settings { return Settings{Region: "us-west-2"} }

func TestNewKey(t *testing.T) {
	form := regexp.MustCompile(`^[a-z2-7]{52}$`)
	if a, b := newKey(), newKey(); !form.MatchString(a) || a == b {
		t.Errorf("keys like %q and %q", a, b)
	}
}

func TestFirstDeployMakesKeys(t *testing.T) {
	w := newWorld(t, deployable())
	var before keys
	w.answers["cloudformation deploy"][0].onCall = func() { before = w.read(w.keyFile().pending()) }
	code, stdout, stderr := w.run(west(), "deploy")
	kept := w.kept()
	if code != 0 || stderr != "" || kept.Full == "" || kept.Read == "" || kept.Full == kept.Read {
		t.Fatalf("code %d, stderr %q, keys %q", code, stderr, kept)
	}
	if before != kept {
		t.Error("the keys were not on the disk before the stack was changed")
	}
	for _, key := range []string{kept.Full, kept.Read} {
		if strings.Count(stdout, key) != 1 {
			t.Errorf("a key is shown %d times:\n%s", strings.Count(stdout, key), stdout)
		}
	}
	if !strings.Contains(stdout, "stores them in "+string(w.keyFile())) || !strings.Contains(stdout, baseURL+"/findings/<scan id>?key=<read key>") {
		t.Errorf("stdout:\n%s", stdout)
	}
	for path, mode := range map[string]os.FileMode{string(w.keyFile()): 0o600, filepath.Dir(string(w.keyFile())): 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	if files, err := os.ReadDir(filepath.Dir(string(w.keyFile()))); err != nil || len(files) != 1 {
		t.Errorf("there are %v, %v", files, err)
	}
}

// A deploy sets the parameters for the keys according to the stack's keys and the environment.
func TestDeployPlansKeys(t *testing.T) {
	full, read := "ApiKeySha256="+hashOf(ownFull), "ReadKeySha256="+hashOf(ownRead)
	const created = "created"
	tests := map[string]struct {
		has, full, read string
		want            []string // parameters; "created" is a parameter with a new key
	}{
		"a stack with keys":                 {bothKeys, "", "", nil},
		"a stack with the full key":         {fullKeyOnly, "", "", nil},
		"an open stack":                     {openToAll, "", "", []string{created, created}},
		"a stack without keys":              {"missing", "", "", []string{created, created}},
		"a stack of an older template":      {"", "", "", []string{created, created}},
		"an own key":                        {"missing", ownFull, "", []string{full}},
		"another own key":                   {bothKeys, ownFull, "", []string{full}},
		"both own keys":                     {openToAll, ownFull, ownRead, []string{full, read}},
		"an own read key":                   {"missing", "", ownRead, []string{created, read}},
		"another read key":                  {bothKeys, "", ownRead, []string{read}},
		"to remove the read key":            {bothKeys, "", none, []string{"ReadKeySha256="}},
		"a first deploy without a read key": {"missing", "", none, []string{created, "ReadKeySha256="}},
		"to be opened":                      {bothKeys, none, "", []string{"ApiKeySha256=none"}},
		"still open":                        {openToAll, none, "", []string{"ApiKeySha256=none"}},
		"open, with an own read key":        {openToAll, none, ownRead, []string{"ApiKeySha256=none", read}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := closedWorld(t)
			w.answers["cloudformation describe-stacks"] = []answer{stackWith("UPDATE_COMPLETE", tt.has), stackIs("UPDATE_COMPLETE")}
			code, stdout, stderr := w.run(Settings{Region: "us-west-2", FullKey: tt.full, ReadKey: tt.read}, "deploy")
			if code != 0 {
				t.Fatal(stderr)
			}
			if warned := strings.Contains(stderr, "warning: ECR_SCAN_API_KEY=none"); warned != (tt.full == none) {
				t.Errorf("stderr %q", stderr)
			}
			_, overrides, _ := strings.Cut(w.called("cloudformation deploy")[0], " --parameter-overrides ")
			got := strings.Fields(overrides)
			kept := w.kept()
			for i, p := range got {
				if p == fullParameter+"="+hashOf(kept.Full) || p == readParameter+"="+hashOf(kept.Read) {
					got[i] = created
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("parameters %q, want %q", got, tt.want)
			}
			if strings.Contains(stdout, "Created new keys") != slices.Contains(tt.want, created) {
				t.Errorf("stdout:\n%s", stdout)
			}
		})
	}
}

func TestDeployFromAnotherMachineKeepsTheKeys(t *testing.T) {
	for name, prepare := range map[string]func(*world){
		"without keys":       func(*world) {},
		"with outdated keys": func(w *world) { w.keep() },
	} {
		t.Run(name, func(t *testing.T) {
			w := closedWorld(t)
			prepare(w)
			before := w.kept()
			code, stdout, stderr := w.run(west(), "deploy")
			if code != 0 || !strings.Contains(stdout, "The API's key was not changed, but this machine does not have it: set ECR_SCAN_API_KEY") {
				t.Errorf("code %d, stdout %s, stderr %q", code, stdout, stderr)
			}
			if args := w.called("cloudformation deploy")[0]; strings.Contains(args, "Sha256") || w.kept() != before {
				t.Errorf("changed keys: %s", args)
			}
		})
	}
}

func TestInvalidOwnKeys(t *testing.T) {
	for name, tt := range map[string]struct{ full, read, want string }{
		"shortest allowed":     {"secret-of-19-letters", "", ""},
		"too short":            {"secret-19-letters-x", "", "ECR_SCAN_API_KEY must have at least 20 characters"},
		"a read key too short": {"", "secret", "ECR_SCAN_READ_KEY must have at least 20 characters"},
		"with a space":         {"secret of more than 20 letters", "", "ECR_SCAN_API_KEY must consist of ASCII characters without spaces"},
		"with a line break":    {"", "secret-of-more-than-20-letters\n", "ECR_SCAN_READ_KEY must consist of ASCII"},
		"not ASCII":            {"secret-öf-more-than-20-letters", "", "ECR_SCAN_API_KEY must consist of ASCII"},
		"the same key twice":   {"secret-of-more-than-20-letters", "secret-of-more-than-20-letters", "must differ"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, deployable())
			code, stdout, stderr := w.run(Settings{Region: "us-west-2", FullKey: tt.full, ReadKey: tt.read}, "deploy")
			if (code == 0) != (tt.want == "") || !strings.Contains(stderr, tt.want) {
				t.Errorf("code %d, stderr %q", code, stderr)
			}
			if strings.Contains(stdout+stderr, "secret") {
				t.Errorf("a key is shown: %s%s", stdout, stderr)
			}
		})
	}
}

// A failed or interrupted change of keys does not invalidate the keys on this machine, and the next deploy
// completes the change.
func TestInterruptedKeyChange(t *testing.T) {
	old, fresh := keys{newKey(), newKey()}, keys{newKey(), newKey()}
	half := keys{old.Full, fresh.Read}
	for name, tt := range map[string]struct{ kept, pending, known, want keys }{
		"before the stack was changed":             {old, fresh, old, old},
		"after the stack was changed":              {old, fresh, fresh, fresh},
		"after the first deploy":                   {keys{}, fresh, fresh, fresh},
		"after a change of the read key":           {old, keys{old.Full, fresh.Read}, half, half},
		"and another machine changed the full key": {old, fresh, keys{newKey(), fresh.Read}, keys{Read: fresh.Read}},
		"and another machine changed both keys":    {old, fresh, keys{newKey(), newKey()}, old},
		"and this machine has no key of the stack": {keys{}, fresh, keys{newKey(), newKey()}, keys{}},
	} {
		t.Run(name, func(t *testing.T) {
			w := closedWorld(t)
			if tt.kept != (keys{}) {
				w.write(w.keyFile(), tt.kept)
			}
			w.write(w.keyFile().pending(), tt.pending)
			w.answers["lambda get-function-configuration"] = []answer{functionSettings(tt.known)}

			// The URL is right also before the change is completed.
			_, stdout, _ := w.run(west(), "url")
			if known := tt.known.Full == tt.kept.Full || tt.known.Full == tt.pending.Full; known != strings.Contains(stdout, "ecr:"+tt.known.Full+"@") {
				t.Errorf("url prints %q", stdout)
			}
			if code, _, stderr := w.run(west(), "deploy"); code != 0 {
				t.Fatal(stderr)
			}
			if got := w.kept(); got != tt.want {
				t.Errorf("kept %v, want %v", got, tt.want)
			}
			if _, err := os.Stat(string(w.keyFile().pending())); err == nil {
				t.Error("the second file is still there")
			}
		})
	}
}

func TestFirstDeployThatFails(t *testing.T) {
	w := newWorld(t, deployable())
	w.answers["cloudformation deploy"] = []answer{{fails: true, stderr: "timed out"}, {}}
	w.answers["cloudformation describe-stacks"] = []answer{noStack()}
	w.answers["cloudformation describe-stack-events"] = []answer{{stdout: "{}"}}
	delete(w.answers, "cloudformation describe-stack-resources") // the stack does not exist, so this must not be called
	code, stdout, _ := w.run(west(), "deploy")
	pending := w.read(w.keyFile().pending())
	if code != 1 || pending.Full == "" || w.kept() != (keys{}) || strings.Contains(stdout, pending.Full) {
		t.Errorf("code %d, kept %v, pending %v", code, w.kept(), pending)
	}
	w.answers["cloudformation describe-stacks"] = []answer{noStack(), stackIs("CREATE_COMPLETE")}
	if code, stdout, _ := w.run(west(), "deploy"); code != 0 || !strings.Contains(stdout, w.kept().Full) {
		t.Errorf("the second time: code %d, stdout %s", code, stdout)
	}
}

// Commands refuse a key file that other users can read.
func TestKeyFileIsPrivate(t *testing.T) {
	for _, command := range []string{"deploy", "url", "rotate-key"} {
		for _, mode := range []os.FileMode{0o640, 0o604, 0o666} {
			w := closedWorld(t)
			k := w.keep()
			if err := os.Chmod(string(w.keyFile()), mode); err != nil {
				t.Fatal(err)
			}
			code, stdout, stderr := w.run(west(), command)
			want := fmt.Sprintf("other users can read the keys in %s (mode %04o): run `chmod 600 %s`", w.keyFile(), mode, w.keyFile())
			if code != 1 || !strings.Contains(stderr, want) || strings.Contains(stdout+stderr, k.Full) {
				t.Errorf("%s: code %d, stdout %q, stderr %q", command, code, stdout, stderr)
			}
			if built := slices.ContainsFunc(w.calls, func(c Command) bool { return c.Name == "go" }); built || len(w.called("cloudformation update-stack")) > 0 {
				t.Errorf("%s continued", command)
			}
		}
	}
}

func TestInvalidKeyFile(t *testing.T) {
	w := closedWorld(t)
	w.keep()
	if err := os.WriteFile(string(w.keyFile()), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := w.run(west(), "url")
	if want := string(w.keyFile()) + " is not a valid key file: delete it"; code != 1 || !strings.Contains(stderr, want) || strings.Contains(stdout+stderr, "secret") {
		t.Errorf("code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

func TestURL(t *testing.T) {
	kept := keys{newKey(), newKey()}
	const odd = "own/key:with@odd#signs?&%$"
	tests := map[string]struct {
		has      string
		kept     keys
		known    keys
		own      string
		want     string
		onStderr string
	}{
		"with the key":               {bothKeys, kept, kept, "", "https://ecr:" + kept.Full + "@abc", ""},
		"with only the full key":     {fullKeyOnly, keys{Full: kept.Full}, keys{Full: kept.Full}, "", "https://ecr:" + kept.Full + "@abc", ""},
		"without the key":            {bothKeys, keys{}, kept, "", "https://abc", "does not have the API's key: set ECR_SCAN_API_KEY"},
		"with only the read key":     {bothKeys, keys{Read: kept.Read}, kept, "", "https://abc", "does not have the API's key"},
		"with an outdated key":       {bothKeys, kept, keys{newKey(), kept.Read}, "", "https://abc", "does not have the API's key"},
		"with an own key":            {bothKeys, keys{}, keys{ownFull, newKey()}, ownFull, "https://ecr:" + ownFull + "@abc", ""},
		"with an own key and a file": {bothKeys, kept, keys{ownFull, kept.Read}, ownFull, "https://ecr:" + ownFull + "@abc", ""},
		"with an outdated own key":   {bothKeys, kept, kept, ownFull, "https://ecr:" + kept.Full + "@abc", ""},
		"with special characters":    {bothKeys, keys{}, keys{odd, newKey()}, odd, "https://ecr:own%2Fkey%3Awith%40odd%23signs%3F&%25$@abc", ""},
		"of an open API":             {openToAll, kept, kept, "", "https://abc", ""},
		"of an API without keys":     {"missing", keys{}, keys{}, "", "https://abc", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := closedWorld(t)
			w.answers["cloudformation describe-stacks"] = []answer{stackWith("UPDATE_COMPLETE", tt.has)}
			w.answers["lambda get-function-configuration"] = []answer{functionSettings(tt.known)}
			if tt.kept != (keys{}) {
				w.write(w.keyFile(), tt.kept)
			}
			code, stdout, stderr := w.run(Settings{Region: "us-west-2", FullKey: tt.own}, "url")
			if want := tt.want + ".execute-api.us-west-2.amazonaws.com/Prod\n"; code != 0 || stdout != want {
				t.Errorf("code %d, stdout %q, want %q", code, stdout, want)
			}
			if !strings.Contains(stderr, tt.onStderr) || (tt.onStderr == "") != (stderr == "") {
				t.Errorf("stderr %q, want %q", stderr, tt.onStderr)
			}
		})
	}
}

// `make url CONFIG=<scan ID>` prints a URL that opens this config alone. The tests of internal/httpapi expect the same key.
func TestURLOfAConfig(t *testing.T) {
	const id, key = "01a22442-e3bd-7c4d-9eae-d6ae7207a502", "2dbba29937f0c63922b26dcb98f3de868b0c0e04e4175c4ddaaa340523a99dac"
	kept := keys{newKey(), "the-read-key-of-a-test"}
	const feed = "https://abc.execute-api.us-west-2.amazonaws.com/Prod/findings/" + id
	tests := map[string]struct {
		has      string
		kept     keys
		known    keys
		own      string
		id       string
		want     string
		onStderr string
	}{
		"with the key file":           {bothKeys, kept, kept, "", id, feed + "?key=" + key, ""},
		"with an own read key":        {bothKeys, keys{}, kept, kept.Read, id, feed + "?key=" + key, ""},
		"without the read key":        {bothKeys, keys{Full: kept.Full}, kept, "", id, "", "does not have the API's read key: set ECR_SCAN_READ_KEY"},
		"without any key":             {bothKeys, keys{}, kept, "", id, "", "does not have the API's read key"},
		"with an outdated read key":   {bothKeys, keys{kept.Full, newKey()}, kept, "", id, "", "does not have the API's read key"},
		"of an API without read key":  {fullKeyOnly, keys{Full: kept.Full}, keys{Full: kept.Full}, "", id, "", "`make rotate-key KEY=read` creates one"},
		"of an open API":              {openToAll, kept, kept, "", id, feed, ""},
		"of what is not a scan ID":    {bothKeys, kept, kept, "", "all", "", "CONFIG must be a scan ID"},
		"of a scan ID in upper case":  {bothKeys, kept, kept, "", strings.ToUpper(id), "", "CONFIG must be a scan ID"},
		"of a scan ID with a newline": {bothKeys, kept, kept, "", id + "\n", "", "CONFIG must be a scan ID"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := closedWorld(t)
			w.answers["cloudformation describe-stacks"] = []answer{stackWith("UPDATE_COMPLETE", tt.has)}
			w.answers["lambda get-function-configuration"] = []answer{functionSettings(tt.known)}
			if tt.kept != (keys{}) {
				w.write(w.keyFile(), tt.kept)
			}
			code, stdout, stderr := w.run(Settings{Region: "us-west-2", ReadKey: tt.own}, "url", tt.id)
			want := tt.want
			if want != "" {
				want += "\n"
			}
			if stdout != want || (code == 0) != (want != "") {
				t.Errorf("code %d, stdout %q, want %q", code, stdout, want)
			}
			if !strings.Contains(stderr, tt.onStderr) || (tt.onStderr == "") != (stderr == "") {
				t.Errorf("stderr %q, want %q", stderr, tt.onStderr)
			}
			if strings.Contains(stdout+stderr, kept.Read) || strings.Contains(stdout+stderr, kept.Full) {
				t.Error("another key is printed")
			}
		})
	}
}

func TestRotateKey(t *testing.T) {
	for _, which := range []string{"", "full", "read"} {
		t.Run(which, func(t *testing.T) {
			w := closedWorld(t)
			old := w.keep()
			w.answers["lambda get-function-configuration"] = []answer{functionSettings(old)}
			var before keys
			w.answers["cloudformation update-stack"][0].onCall = func() {
				if w.kept() != old {
					t.Error("the file was changed before the stack")
				}
				before = w.read(w.keyFile().pending())
			}
			code, stdout, stderr := w.run(west(), append([]string{"rotate-key"}, strings.Fields(which)...)...)
			if code != 0 {
				t.Fatal(stderr)
			}
			kept := w.kept()
			key, other, parameter := kept.Full, kept.Read == old.Read && kept.Full != old.Full, "ApiKeySha256"
			parameters := map[string]string{"Schedule": "UsePreviousValue=true", "ConfigBucket": "UsePreviousValue=true", "ReadKeySha256": "UsePreviousValue=true"}
			if which == "read" {
				key, other, parameter = kept.Read, kept.Full == old.Full && kept.Read != old.Read, "ReadKeySha256"
				parameters["ApiKeySha256"] = "UsePreviousValue=true"
			}
			parameters[parameter] = "ParameterValue=" + hashOf(key)
			if !other || before != kept {
				t.Errorf("old keys %v, new keys %v, stored before the update %v", old, kept, before)
			}
			call, list, _ := strings.Cut(w.called("cloudformation update-stack")[0], " --parameters ")
			if !strings.HasSuffix(call, "update-stack --stack-name arn:aws:cloudformation:us-west-2:123456789012:stack/watch/1 --use-previous-template --capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND") {
				t.Errorf("called %s", call)
			}
			got := map[string]string{}
			for _, p := range strings.Fields(list) {
				name, value, _ := strings.Cut(strings.TrimPrefix(p, "ParameterKey="), ",")
				got[name] = value
			}
			if want := parameters; which != "read" && !maps.Equal(got, want) || len(got) != 4 || got[parameter] != want[parameter] {
				t.Errorf("parameters %v, want %v", got, want)
			}
			if strings.Count(stdout, key) != 1 || strings.Contains(stdout, old.Full) || strings.Contains(stdout, old.Read) {
				t.Errorf("stdout:\n%s", stdout)
			}
		})
	}
}

// The next change keeps the new key of an interrupted change that the stack already accepts.
func TestRotateKeyAfterAnInterruptedChange(t *testing.T) {
	w := closedWorld(t)
	old := w.keep()
	half := keys{newKey(), old.Read}
	w.write(w.keyFile().pending(), half)
	w.answers["lambda get-function-configuration"] = []answer{functionSettings(half)}
	if code, _, stderr := w.run(west(), "rotate-key", "read"); code != 0 || w.kept().Full != half.Full || w.kept().Read == old.Read {
		t.Errorf("code %d, stderr %q, keys %v of %v", code, stderr, w.kept(), half)
	}
}

// A machine without the keys can get a new key.
func TestRotateKeyOnAnotherMachine(t *testing.T) {
	w := closedWorld(t)
	if code, _, stderr := w.run(west(), "rotate-key"); code != 0 || w.kept().Full == "" || w.kept().Read != "" {
		t.Errorf("code %d, stderr %q, keys %v", code, stderr, w.kept())
	}
}

func TestFailedRotateKey(t *testing.T) {
	failed := answer{fails: true, stderr: "\nWaiter StackUpdateComplete failed: Waiter encountered a terminal failure state\n"}
	for _, call := range []string{"cloudformation update-stack", "cloudformation wait"} {
		w := closedWorld(t)
		old := w.keep()
		w.answers["lambda get-function-configuration"] = []answer{functionSettings(old)}
		w.answers["cloudformation describe-stack-events"] = []answer{{stdout: "{}"}}
		w.answers[call] = []answer{failed}
		code, stdout, stderr := w.run(west(), "rotate-key")
		pending := w.read(w.keyFile().pending())
		if code != 1 || stdout != "" || w.kept() != old || pending.Full == "" || strings.Contains(stderr, pending.Full) {
			t.Errorf("%s: code %d, stdout %q, stderr %q", call, code, stdout, stderr)
		}
	}
}

func TestRotateKeyRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		stack    answer
		settings Settings
		args     []string
		want     string
	}{
		"an open API":             {stackWith("UPDATE_COMPLETE", openToAll), west(), nil, "the API has no keys: unset ECR_SCAN_API_KEY and run `make deploy`"},
		"an API without keys":     {stackWith("UPDATE_COMPLETE", "missing"), west(), nil, "the API has no keys"},
		"a stack that is changed": {stackIs("UPDATE_IN_PROGRESS"), west(), nil, "try again when that is done"},
		"an own key":              {stackIs("UPDATE_COMPLETE"), Settings{Region: "us-west-2", FullKey: ownFull}, nil, "the environment sets this key"},
		"an own read key":         {stackIs("UPDATE_COMPLETE"), Settings{Region: "us-west-2", ReadKey: ownRead}, []string{"read"}, "the environment sets this key"},
		"an unknown key":          {stackIs("UPDATE_COMPLETE"), west(), []string{ownFull}, "unknown key: run `make rotate-key`"},
		"two keys":                {stackIs("UPDATE_COMPLETE"), west(), []string{"full", "read"}, "unknown key: run `make rotate-key`"},
	} {
		t.Run(name, func(t *testing.T) {
			w := closedWorld(t)
			w.answers["cloudformation describe-stacks"] = []answer{tt.stack}
			code, stdout, stderr := w.run(tt.settings, append([]string{"rotate-key"}, tt.args...)...)
			if code != 1 || stdout != "" || !strings.Contains(stderr, tt.want) || strings.Contains(stderr, ownFull) {
				t.Errorf("code %d, stdout %q, stderr %q", code, stdout, stderr)
			}
			if len(w.called("cloudformation update-stack")) > 0 || w.read(w.keyFile().pending()) != (keys{}) {
				t.Error("continued")
			}
		})
	}
}

func TestStatusShowsTheKeys(t *testing.T) {
	for has, want := range map[string]string{
		bothKeys: "keys       full and read\n", openToAll: "keys       none: everyone may call the API\n", "missing": "keys       missing: every request is refused\n",
	} {
		w := closedWorld(t)
		k := w.keep()
		w.answers["cloudformation describe-stacks"] = []answer{stackWith("UPDATE_COMPLETE", has)}
		w.answers["cloudwatch describe-alarms"] = []answer{{stdout: "{}"}}
		code, stdout, stderr := w.run(west(), "status")
		if code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("%s: code %d, stdout %s, stderr %q", has, code, stdout, stderr)
		}
		for _, secret := range []string{k.Full, k.Read, hashOf(k.Full), "Sha256"} {
			if strings.Contains(stdout, secret) {
				t.Errorf("shows %q", secret)
			}
		}
	}
}

func TestDestroyRemovesTheKeys(t *testing.T) {
	w := closedWorld(t)
	w.keep()
	w.write(w.keyFile().pending(), keys{Full: newKey()})
	for _, call := range []string{"cloudformation delete-stack", "s3 rm", "s3api delete-bucket"} {
		w.answers[call] = []answer{{}}
	}
	code, stdout, stderr := w.run(west(), "destroy")
	if code != 0 || !strings.Contains(stdout, "Removed its keys from this machine.") {
		t.Errorf("code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	if files, err := os.ReadDir(filepath.Dir(string(w.keyFile()))); err != nil || len(files) != 0 {
		t.Errorf("%v are left, %v", files, err)
	}
}
