// SPDX-License-Identifier: Apache-2.0

// A plugin on NRI's own library that does what a script says and notes what it hears.
//
//	plugin -idx 10 -name one -socket PATH -script FILE -log FILE
//
// An installed one is started without words: its configuration is JSON, {"script": .., "log": ..}.
// The script is read at each event: {"CreateContainer": {"adjust": {..}, "update": [..]}, ..}; see
// type action. Each line of the log is {"event": .., ..}. A line {"update": [..]} on standard input
// is an unsolicited update.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"sync"
	"time"

	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/stub"
	defaultvalidator "github.com/containerd/nri/plugins/default-validator"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

type action struct {
	Error  string            `json:"error"`  // answered
	Until  string            `json:"until"`  // a file that has to be there before the answer
	Exit   bool              `json:"exit"`   // the process ends instead of an answer
	Adjust json.RawMessage   `json:"adjust"` // a ContainerAdjustment
	Update []json.RawMessage `json:"update"` // ContainerUpdates
	Events string            `json:"events"` // of Configure: what is subscribed to
}

type plugin struct {
	sync.Mutex
	script, log string
}

func fatal(err error) {
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
}

func text(m proto.Message) json.RawMessage {
	out, err := protojson.Marshal(m)
	fatal(err)
	return out
}

func (p *plugin) note(entry map[string]any) {
	p.Lock()
	defer p.Unlock()
	line, err := json.Marshal(entry)
	fatal(err)
	file, err := os.OpenFile(p.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	fatal(err)
	defer file.Close()
	_, err = file.Write(append(line, '\n'))
	fatal(err)
}

// act notes an event and does what the script says about it.
func (p *plugin) act(ctx context.Context, event string, entry map[string]any) (action, error) {
	var script map[string]action
	if text, err := os.ReadFile(p.script); err == nil {
		fatal(json.Unmarshal(text, &script))
	}
	entry["event"] = event
	p.note(entry)
	do := script[event]
	for do.Until != "" {
		if _, err := os.Stat(do.Until); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if do.Exit {
		os.Exit(3)
	}
	if do.Error != "" {
		return do, errors.New(do.Error)
	}
	return do, nil
}

func updates(list []json.RawMessage) (all []*api.ContainerUpdate) {
	for _, each := range list {
		u := &api.ContainerUpdate{}
		fatal(protojson.Unmarshal(each, u))
		all = append(all, u)
	}
	return all
}

func (p *plugin) pod(ctx context.Context, event string, pod *api.PodSandbox) error {
	_, err := p.act(ctx, event, map[string]any{"pod": text(pod)})
	return err
}

func (p *plugin) container(ctx context.Context, event string, pod *api.PodSandbox,
	c *api.Container) (action, error) {
	return p.act(ctx, event, map[string]any{"pod": text(pod), "container": text(c)})
}

func (p *plugin) Configure(ctx context.Context, config, runtime, version string) (api.EventMask,
	error) {
	if config != "" {
		var files struct{ Script, Log string }
		fatal(json.Unmarshal([]byte(config), &files))
		p.script, p.log = files.Script, files.Log
	}
	do, err := p.act(ctx, "Configure", map[string]any{"runtime": runtime, "version": version})
	if err != nil || do.Events == "" {
		return 0, err
	}
	return api.ParseEventMask(do.Events)
}

func (p *plugin) Synchronize(ctx context.Context, pods []*api.PodSandbox,
	containers []*api.Container) ([]*api.ContainerUpdate, error) {
	ids, names := []string{}, []string{}
	for _, each := range pods {
		ids = append(ids, each.Id)
	}
	for _, each := range containers {
		names = append(names, each.Id)
	}
	do, err := p.act(ctx, "Synchronize", map[string]any{"pods": ids, "containers": names})
	return updates(do.Update), err
}

func (p *plugin) RunPodSandbox(ctx context.Context, pod *api.PodSandbox) error {
	return p.pod(ctx, "RunPodSandbox", pod)
}

func (p *plugin) StopPodSandbox(ctx context.Context, pod *api.PodSandbox) error {
	return p.pod(ctx, "StopPodSandbox", pod)
}

func (p *plugin) RemovePodSandbox(ctx context.Context, pod *api.PodSandbox) error {
	return p.pod(ctx, "RemovePodSandbox", pod)
}

func (p *plugin) PostUpdatePodSandbox(ctx context.Context, pod *api.PodSandbox) error {
	return p.pod(ctx, "PostUpdatePodSandbox", pod)
}

func (p *plugin) UpdatePodSandbox(ctx context.Context, pod *api.PodSandbox, overhead,
	resources *api.LinuxResources) error {
	_, err := p.act(ctx, "UpdatePodSandbox", map[string]any{"pod": text(pod),
		"resources": text(resources)})
	return err
}

func (p *plugin) CreateContainer(ctx context.Context, pod *api.PodSandbox, c *api.Container) (
	*api.ContainerAdjustment, []*api.ContainerUpdate, error) {
	do, err := p.container(ctx, "CreateContainer", pod, c)
	if err != nil || do.Adjust == nil {
		return nil, updates(do.Update), err
	}
	adjust := &api.ContainerAdjustment{}
	fatal(protojson.Unmarshal(do.Adjust, adjust))
	return adjust, updates(do.Update), nil
}

func (p *plugin) UpdateContainer(ctx context.Context, pod *api.PodSandbox, c *api.Container,
	resources *api.LinuxResources) ([]*api.ContainerUpdate, error) {
	do, err := p.act(ctx, "UpdateContainer", map[string]any{"pod": text(pod),
		"container": text(c), "resources": text(resources)})
	return updates(do.Update), err
}

func (p *plugin) StopContainer(ctx context.Context, pod *api.PodSandbox, c *api.Container) (
	[]*api.ContainerUpdate, error) {
	do, err := p.container(ctx, "StopContainer", pod, c)
	return updates(do.Update), err
}

func (p *plugin) PostCreateContainer(ctx context.Context, pod *api.PodSandbox, c *api.Container) error {
	_, err := p.container(ctx, "PostCreateContainer", pod, c)
	return err
}

func (p *plugin) StartContainer(ctx context.Context, pod *api.PodSandbox, c *api.Container) error {
	_, err := p.container(ctx, "StartContainer", pod, c)
	return err
}

func (p *plugin) PostStartContainer(ctx context.Context, pod *api.PodSandbox, c *api.Container) error {
	_, err := p.container(ctx, "PostStartContainer", pod, c)
	return err
}

func (p *plugin) PostUpdateContainer(ctx context.Context, pod *api.PodSandbox, c *api.Container) error {
	_, err := p.container(ctx, "PostUpdateContainer", pod, c)
	return err
}

func (p *plugin) RemoveContainer(ctx context.Context, pod *api.PodSandbox, c *api.Container) error {
	_, err := p.container(ctx, "RemoveContainer", pod, c)
	return err
}

// A validator does what the script says, and then what NRI's own one does with its configuration.
type validator struct {
	plugin
	standard *defaultvalidator.DefaultValidator
}

func (v *validator) ValidateContainerAdjustment(ctx context.Context,
	req *api.ValidateContainerAdjustmentRequest) error {
	_, err := v.act(ctx, "ValidateContainerAdjustment", map[string]any{"pod": text(req.Pod),
		"container": text(req.Container), "adjust": text(req.Adjust), "owners": text(req.Owners)})
	if err != nil {
		return err
	}
	return v.standard.ValidateContainerAdjustment(ctx, req)
}

func (p *plugin) listen(s stub.Stub) {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line struct{ Update []json.RawMessage }
		fatal(json.Unmarshal(lines.Bytes(), &line))
		failed, err := s.UpdateContainers(updates(line.Update))
		ids := []string{}
		for _, each := range failed {
			ids = append(ids, each.ContainerId)
		}
		entry := map[string]any{"event": "updated", "failed": ids}
		if err != nil {
			entry["error"] = err.Error()
		}
		p.note(entry)
	}
}

func main() {
	idx := flag.String("idx", "", "index")
	name := flag.String("name", "", "name")
	path := flag.String("socket", "", "socket")
	script := flag.String("script", "", "what to do")
	log := flag.String("log", "/dev/null", "what was heard")
	validate := flag.String("validate", "", "also validate adjustments: what NRI's own validator is to"+
		" reject, as JSON")
	flag.Parse()
	p := &plugin{script: *script, log: *log}
	var each any = p
	if *validate != "" {
		config := &defaultvalidator.DefaultValidatorConfig{}
		fatal(json.Unmarshal([]byte(*validate), config))
		v := &validator{plugin{script: *script, log: *log}, defaultvalidator.NewDefaultValidator(config)}
		each, p = v, &v.plugin
	}
	options := []stub.Option{stub.WithOnClose(func() {})}
	if *name != "" {
		options = append(options, stub.WithPluginName(*name), stub.WithPluginIdx(*idx),
			stub.WithSocketPath(*path))
	}
	s, err := stub.New(each, options...)
	fatal(err)
	if *name != "" {
		go p.listen(s)
	}
	fatal(s.Run(context.Background()))
}
