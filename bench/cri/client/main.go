// SPDX-License-Identifier: Apache-2.0

// client drives one CRI socket as a kubelet would. It reads commands, a JSON object a line, and
// answers each with one: milliseconds of every call, by method, or an error.
//
//	{"op": "pods", "n": 3}                 pods, one after the other: start, three execs, removal
//	{"op": "burst", "n": 50, "callers": 8} pods started by several callers, and kept
//	{"op": "lists", "n": 50}               lists and statistics
//	{"op": "remove", "callers": 8}         the kept ones
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

var (
	socket  = flag.String("socket", "", "unix:///... of the daemon")
	image   = flag.String("image", "", "a name that the daemon knows; /bin/sleep and /bin/true are in it")
	logs    = flag.String("logs", "", "folder of the pods' logs")
	parent  = flag.String("cgroup-parent", "", "of the pods")
	handler = flag.String("handler", "", "runtime handler")
)

const perCall = 2 * time.Minute

type command struct {
	Op         string
	N, Callers int
}

type answer struct {
	Seconds float64              `json:"seconds"`
	Ms      map[string][]float64 `json:"ms"`
	Error   string               `json:"error,omitempty"`
}

type pod struct{ sandbox, container string }

type driver struct {
	client cri.RuntimeServiceClient
	mu     sync.Mutex
	ms     map[string][]float64
	count  int
	kept   []pod
}

// timed runs one call and keeps how long it took.
func (d *driver) timed(method string, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), perCall)
	defer cancel()
	start := time.Now()
	err := call(ctx)
	d.add(method, time.Since(start))
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	return nil
}

func (d *driver) add(method string, took time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ms[method] = append(d.ms[method], float64(took.Nanoseconds())/1e6)
}

func (d *driver) name() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.count++
	return fmt.Sprintf("bench-%d-%d", os.Getpid(), d.count)
}

func sandboxConfig(name string) *cri.PodSandboxConfig {
	return &cri.PodSandboxConfig{
		Metadata:     &cri.PodSandboxMetadata{Name: name, Uid: name, Namespace: "bench"},
		Hostname:     "bench",
		LogDirectory: filepath.Join(*logs, name),
		Linux: &cri.LinuxPodSandboxConfig{
			CgroupParent: *parent,
			SecurityContext: &cri.LinuxSandboxSecurityContext{
				NamespaceOptions: &cri.NamespaceOption{Pid: cri.NamespaceMode_CONTAINER},
			},
		},
	}
}

func containerConfig() *cri.ContainerConfig {
	return &cri.ContainerConfig{
		Metadata: &cri.ContainerMetadata{Name: "main"},
		Image:    &cri.ImageSpec{Image: *image, UserSpecifiedImage: *image},
		Command:  []string{"/bin/sleep", "36000"},
		LogPath:  "main.log",
		Linux: &cri.LinuxContainerConfig{
			Resources: &cri.LinuxContainerResources{CpuShares: 100, MemoryLimitInBytes: 64 << 20},
			SecurityContext: &cri.LinuxContainerSecurityContext{
				NamespaceOptions: &cri.NamespaceOption{Pid: cri.NamespaceMode_CONTAINER},
			},
		},
	}
}

func (d *driver) start() (p pod, err error) {
	config := sandboxConfig(d.name())
	if err = os.MkdirAll(config.LogDirectory, 0o755); err != nil {
		return
	}
	begin := time.Now()
	err = d.timed("RunPodSandbox", func(ctx context.Context) error {
		r, err := d.client.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{
			Config: config, RuntimeHandler: *handler})
		p.sandbox = r.GetPodSandboxId()
		return err
	})
	if err != nil {
		return
	}
	err = d.timed("CreateContainer", func(ctx context.Context) error {
		r, err := d.client.CreateContainer(ctx, &cri.CreateContainerRequest{
			PodSandboxId: p.sandbox, SandboxConfig: config, Config: containerConfig()})
		p.container = r.GetContainerId()
		return err
	})
	if err != nil {
		return
	}
	err = d.timed("StartContainer", func(ctx context.Context) error {
		_, err := d.client.StartContainer(ctx, &cri.StartContainerRequest{ContainerId: p.container})
		return err
	})
	d.add("pod start", time.Since(begin))
	return
}

func (d *driver) exec(p pod) error {
	return d.timed("ExecSync", func(ctx context.Context) error {
		r, err := d.client.ExecSync(ctx, &cri.ExecSyncRequest{
			ContainerId: p.container, Cmd: []string{"/bin/true"}, Timeout: 10})
		if err == nil && r.ExitCode != 0 {
			err = fmt.Errorf("exit code %d: %s", r.ExitCode, r.Stderr)
		}
		return err
	})
}

func (d *driver) remove(p pod) error {
	if err := d.timed("StopContainer", func(ctx context.Context) error {
		_, err := d.client.StopContainer(ctx, &cri.StopContainerRequest{ContainerId: p.container})
		return err
	}); err != nil {
		return err
	}
	if err := d.timed("StopPodSandbox", func(ctx context.Context) error {
		_, err := d.client.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: p.sandbox})
		return err
	}); err != nil {
		return err
	}
	return d.timed("RemovePodSandbox", func(ctx context.Context) error {
		_, err := d.client.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: p.sandbox})
		return err
	})
}

func (d *driver) pods(n int) error {
	for range n {
		p, err := d.start()
		for i := 0; err == nil && i < 3; i++ {
			err = d.exec(p)
		}
		if err == nil {
			err = d.remove(p)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// together calls f for 0..n-1 from several callers; the first error of any.
func together(n, callers int, f func(i int) error) error {
	work, failed := make(chan int), make(chan error, n)
	var all sync.WaitGroup
	for range max(callers, 1) {
		all.Add(1)
		go func() {
			defer all.Done()
			for i := range work {
				if err := f(i); err != nil {
					failed <- err
				}
			}
		}()
	}
	for i := range n {
		work <- i
	}
	close(work)
	all.Wait()
	close(failed)
	return <-failed
}

func (d *driver) burst(n, callers int) error {
	made := make([]pod, n)
	err := together(n, callers, func(i int) (err error) {
		made[i], err = d.start()
		return
	})
	d.kept = append(d.kept, made...)
	return err
}

func (d *driver) removeKept(callers int) error {
	kept := d.kept
	d.kept = nil
	return together(len(kept), callers, func(i int) error { return d.remove(kept[i]) })
}

func (d *driver) lists(n int) error {
	calls := map[string]func(context.Context) error{
		"ListContainers": func(ctx context.Context) error {
			_, err := d.client.ListContainers(ctx, &cri.ListContainersRequest{})
			return err
		},
		"ListPodSandbox": func(ctx context.Context) error {
			_, err := d.client.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
			return err
		},
		"ListContainerStats": func(ctx context.Context) error {
			_, err := d.client.ListContainerStats(ctx, &cri.ListContainerStatsRequest{})
			return err
		},
	}
	for range n {
		for method, call := range calls {
			if err := d.timed(method, call); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *driver) do(c command) answer {
	d.ms = map[string][]float64{}
	begin := time.Now()
	var err error
	switch c.Op {
	case "pods":
		err = d.pods(c.N)
	case "burst":
		err = d.burst(c.N, c.Callers)
	case "lists":
		err = d.lists(c.N)
	case "remove":
		err = d.removeKept(c.Callers)
	default:
		err = fmt.Errorf("unknown op %q", c.Op)
	}
	a := answer{Seconds: time.Since(begin).Seconds(), Ms: d.ms}
	if err != nil {
		a.Error = err.Error()
	}
	return a
}

func main() {
	flag.Parse()
	conn, err := grpc.NewClient(*socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	d := &driver{client: cri.NewRuntimeServiceClient(conn)}
	in, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	for in.Scan() {
		var c command
		a := answer{}
		if err := json.Unmarshal(in.Bytes(), &c); err != nil {
			a.Error = err.Error()
		} else {
			a = d.do(c)
		}
		if out.Encode(a) != nil {
			return
		}
	}
}
