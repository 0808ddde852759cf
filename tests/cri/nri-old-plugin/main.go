// SPDX-License-Identifier: Apache-2.0

// A plugin on NRI's library as it was before each event had a call of its own: it hears of most of
// them by StateChange. It notes what it hears, and adds a variable to each container.
//
//	plugin -idx 10 -name one -socket PATH -log FILE
package main

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"sync"

	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/stub"
)

type plugin struct {
	sync.Mutex
	log string
}

func fatal(err error) {
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
}

func (p *plugin) note(event string, pod *api.PodSandbox, container *api.Container) error {
	p.Lock()
	defer p.Unlock()
	entry := map[string]any{"event": event, "pod": map[string]string{"id": pod.GetId()}}
	if container != nil {
		entry["container"] = map[string]string{"id": container.GetId()}
	}
	line, err := json.Marshal(entry)
	fatal(err)
	file, err := os.OpenFile(p.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	fatal(err)
	defer file.Close()
	_, err = file.Write(append(line, '\n'))
	fatal(err)
	return nil
}

func (p *plugin) Synchronize(ctx context.Context, pods []*api.PodSandbox,
	containers []*api.Container) ([]*api.ContainerUpdate, error) {
	return nil, p.note("Synchronize", nil, nil)
}

func (p *plugin) RunPodSandbox(ctx context.Context, pod *api.PodSandbox) error {
	return p.note("RunPodSandbox", pod, nil)
}

func (p *plugin) StopPodSandbox(ctx context.Context, pod *api.PodSandbox) error {
	return p.note("StopPodSandbox", pod, nil)
}

func (p *plugin) RemovePodSandbox(ctx context.Context, pod *api.PodSandbox) error {
	return p.note("RemovePodSandbox", pod, nil)
}

func (p *plugin) CreateContainer(ctx context.Context, pod *api.PodSandbox, c *api.Container) (
	*api.ContainerAdjustment, []*api.ContainerUpdate, error) {
	adjust := &api.ContainerAdjustment{}
	adjust.AddEnv("OLD_PLUGIN", "yes")
	return adjust, nil, p.note("CreateContainer", pod, c)
}

func (p *plugin) PostCreateContainer(ctx context.Context, pod *api.PodSandbox, c *api.Container) error {
	return p.note("PostCreateContainer", pod, c)
}

func (p *plugin) StartContainer(ctx context.Context, pod *api.PodSandbox, c *api.Container) error {
	return p.note("StartContainer", pod, c)
}

func (p *plugin) PostStartContainer(ctx context.Context, pod *api.PodSandbox, c *api.Container) error {
	return p.note("PostStartContainer", pod, c)
}

func (p *plugin) PostUpdateContainer(ctx context.Context, pod *api.PodSandbox, c *api.Container) error {
	return p.note("PostUpdateContainer", pod, c)
}

func (p *plugin) StopContainer(ctx context.Context, pod *api.PodSandbox, c *api.Container) (
	[]*api.ContainerUpdate, error) {
	return nil, p.note("StopContainer", pod, c)
}

func (p *plugin) RemoveContainer(ctx context.Context, pod *api.PodSandbox, c *api.Container) error {
	return p.note("RemoveContainer", pod, c)
}

func main() {
	idx := flag.String("idx", "", "index")
	name := flag.String("name", "", "name")
	path := flag.String("socket", "", "socket")
	log := flag.String("log", "/dev/null", "what was heard")
	flag.Parse()
	s, err := stub.New(&plugin{log: *log}, stub.WithOnClose(func() {}), stub.WithPluginName(*name),
		stub.WithPluginIdx(*idx), stub.WithSocketPath(*path))
	fatal(err)
	fatal(s.Run(context.Background()))
}
