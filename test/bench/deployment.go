package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/rpc"
	"net/rpc/jsonrpc"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/test/awstest"
	"ecr-continuous-scan/test/lambdaruntime"
)

// deployment is a build with its own stand-ins.
type deployment struct {
	build
	folder  string            // for temporary files
	env     map[string]string // of the functions
	standIn *rpc.Client
	process *exec.Cmd
	// groups is nil if processes have no quota.
	groups *cgroups

	data     Data
	ids      []string        // of the configs
	messages []types.Message // of a schedule
}

// machineCertificates are the places of the machine's list of trusted authorities.
func machineCertificates() []string {
	return []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"}
}

// deploy starts the stand-ins for a build in another process. The caller must call close. If ownCA is true, the functions
// trust only the stand-ins.
func deploy(b build, folder string, groups *cgroups, ownCA bool) (*deployment, error) {
	executable, err := os.Executable()
	if err != nil {
		return nil, err
	}
	d := &deployment{build: b, folder: folder, groups: groups, process: exec.Command(executable, standInsCommand)}
	d.process.Stderr = os.Stderr
	input, err := d.process.StdinPipe()
	if err != nil {
		return nil, err
	}
	output, err := d.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := d.process.Start(); err != nil {
		return nil, fmt.Errorf("start the stand-ins: %w", err)
	}
	d.standIn = jsonrpc.NewClient(inputAndOutput{output, input})
	var a Addresses
	if err := d.call("Addresses", struct{}{}, &a); err != nil {
		return nil, errors.Join(err, d.close())
	}
	if err := d.setEnvironment(a, ownCA); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

// setEnvironment sets the environment of the functions. They trust the machine's authorities too, because reading their list
// costs each process in Lambda some time.
func (d *deployment) setEnvironment(a Addresses, ownCA bool) error {
	d.env = map[string]string{
		"ECR_SCAN_CONFIG_BUCKET": awstest.Bucket, "ECR_SCAN_API_KEY_SHA256": "none", "ECR_SCAN_QUEUE_URL": a.Queue(),
		"AWS_ENDPOINT_URL_S3": a.S3, "AWS_ENDPOINT_URL_ECR": a.ECR, "AWS_ENDPOINT_URL_SQS": a.SQS,
		"GOMAXPROCS": "2", // Lambda's machines for functions of up to 3,008 MB have two processors
	}
	bundle := filepath.Join(d.folder, d.name+".pem")
	authorities := a.Certificate
	if ownCA {
		d.env["AWS_CA_BUNDLE"] = bundle
		return os.WriteFile(bundle, authorities, 0o600)
	}
	d.env["SSL_CERT_FILE"], d.env["SSL_CERT_DIR"] = bundle, filepath.Join(d.folder, "none")
	for _, path := range machineCertificates() {
		if list, err := os.ReadFile(path); err == nil {
			authorities = slices.Concat(list, []byte("\n"), authorities)
			break
		}
	}
	return os.WriteFile(bundle, authorities, 0o600)
}

// close ends the stand-ins.
func (d *deployment) close() error {
	_ = d.standIn.Close() // the process ends with its input
	return d.process.Wait()
}

func (d *deployment) call(procedure string, args, reply any) error {
	if err := d.standIn.Call("StandIns."+procedure, args, reply); err != nil {
		return fmt.Errorf("stand-ins, %s: %w", procedure, err)
	}
	return nil
}

// process is a running process of a function.
type process struct {
	*lambdaruntime.Function
	settings function
	group    *cgroup
	began    time.Duration // from the start to the first poll
}

// start starts a process of a function and waits until it is ready. If limited is true, it has the function's quota.
func (d *deployment) start(ctx context.Context, folder string, limited bool) (*process, error) {
	p := &process{settings: d.functions[folder]}
	description := lambdaruntime.Process{Binary: p.settings.binary, Folder: d.folder, Env: d.environment(p.settings)}
	if limited && d.groups != nil {
		g, err := d.groups.add(p.settings.memory)
		if err != nil {
			return nil, err
		}
		p.group, description.Through = &g, g.enter()
	}
	f, err := lambdaruntime.Run(description)
	if err != nil {
		if p.group != nil {
			err = errors.Join(err, p.group.remove())
		}
		return nil, err
	}
	p.Function = f
	if p.began, err = f.Ready(ctx); err != nil {
		return nil, errors.Join(err, p.end())
	}
	return p, nil
}

func (d *deployment) environment(f function) map[string]string {
	env := map[string]string{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.Itoa(f.memory)}
	for name, value := range d.env {
		env[name] = value
	}
	return env
}

// end ends the process.
func (p *process) end() error {
	p.Kill()
	if p.group != nil {
		return p.group.remove()
	}
	return nil
}

// answer is the response of a function. For an HTTP request it has the fields that API Gateway reads.
type answer struct {
	Status int         `json:"statusCode"`
	Header http.Header `json:"multiValueHeaders"`
	Body   string      `json:"body"`
}

// invoke sends an event to a process.
func (p *process) invoke(ctx context.Context, event any) (answer, error) {
	payload, err := p.Invoke(ctx, event, p.settings.timeout)
	if err != nil {
		return answer{}, err
	}
	var a answer
	if err := json.Unmarshal(payload, &a); err != nil {
		return answer{}, fmt.Errorf("decode the response of the function: %w", err)
	}
	if a.Status == 0 {
		a.Body = string(payload)
	}
	return a, nil
}

// httpEvent returns the event of API Gateway for a request.
func httpEvent(method, target, resource string, header http.Header, body []byte) (any, error) {
	r := httptest.NewRequest(method, "https://a1b2c3d4e5.execute-api.us-west-2.amazonaws.com"+lambdaruntime.Stage+target, bytes.NewReader(body))
	for name, values := range header {
		r.Header[name] = values
	}
	return lambdaruntime.APIEvent(r, lambdaruntime.Stage, resource)
}

// visitEvent returns the event of a message that has just been sent.
func visitEvent(m types.Message) any {
	event := lambdaruntime.SQSEvent([]types.Message{m})
	event.Records[0].Attributes["SentTimestamp"] = strconv.FormatInt(time.Now().UnixMilli(), 10)
	return event
}

// prepare stores the data of a world with the compiled functions, so that it has the format of the build. The processes have
// no quota. now is the time of the stand-ins' clock.
func (d *deployment) prepare(ctx context.Context, w World, now time.Time) error {
	d.data = Data{w, now}
	if err := d.call("Reset", d.data, &struct{}{}); err != nil {
		return err
	}
	configs, err := d.start(ctx, "configs", false)
	if err != nil {
		return err
	}
	err = d.addConfigs(ctx, configs)
	if err := errors.Join(err, configs.end()); err != nil {
		return err
	}
	visits, err := d.start(ctx, "startscan", false)
	if err != nil {
		return err
	}
	err = d.visitAll(ctx, visits)
	return errors.Join(err, visits.end())
}

func (d *deployment) addConfigs(ctx context.Context, configs *process) error {
	d.ids = nil
	for _, repository := range d.data.World.watched() {
		body := fmt.Sprintf(`{"region": %q, "registry": %q, "repository": %q}`, awslocal.DefaultRegion, awslocal.DefaultRegistry, repository)
		event, err := httpEvent(http.MethodPost, "/configs", "/configs", http.Header{"Content-Type": {"application/json"}}, []byte(body))
		if err != nil {
			return err
		}
		a, err := configs.invoke(ctx, event)
		if err != nil {
			return err
		}
		var stored struct{ ID string }
		if err := json.NewDecoder(strings.NewReader(a.Body)).Decode(&stored); err != nil && !errors.Is(err, io.EOF) || a.Status != http.StatusCreated {
			return fmt.Errorf("POST /configs: status %d: %s", a.Status, a.Body)
		}
		d.ids = append(d.ids, stored.ID)
	}
	return nil
}

// visitAll visits each repository if the world is visited. Then it runs the schedule and keeps its messages.
func (d *deployment) visitAll(ctx context.Context, visits *process) error {
	for {
		var messages []types.Message
		if err := d.call("TakeMessages", struct{}{}, &messages); err != nil {
			return err
		}
		if len(messages) == 0 || !d.data.World.Visited {
			break
		}
		for _, m := range messages {
			if _, err := visits.invoke(ctx, visitEvent(m)); err != nil {
				return err
			}
		}
	}
	if _, err := visits.invoke(ctx, lambdaruntime.ScheduleEvent()); err != nil {
		return err
	}
	if err := d.call("TakeMessages", struct{}{}, &d.messages); err != nil {
		return err
	}
	if len(d.messages) != d.data.World.Repositories {
		return fmt.Errorf("the schedule sent %d messages for %d repositories", len(d.messages), d.data.World.Repositories)
	}
	return nil
}
