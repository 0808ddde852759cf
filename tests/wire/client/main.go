// SPDX-License-Identifier: Apache-2.0

// The judge of src/wire: grpc-go with the client that k8s.io/cri-api generates, against
// grpc-echo-server. wire-client SOCKET SCENARIO [ARG]; silent and 0 when all is as it should be.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const messageMax = 16 << 20

type env struct {
	socket, arg string
	conn        *grpc.ClientConn
	rt          cri.RuntimeServiceClient
	im          cri.ImageServiceClient
}

func dial(target string, more ...grpc.DialOption) (*grpc.ClientConn, error) {
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20), grpc.MaxCallSendMsgSize(64<<20)),
	}
	return grpc.NewClient(target, append(opts, more...)...)
}

func short() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 30*time.Second)
}

func (e *env) version(arg string) (*cri.VersionResponse, error) {
	ctx, cancel := short()
	defer cancel()
	return e.rt.Version(ctx, &cri.VersionRequest{Version: arg})
}

type counts struct{ conns, calls, total, cancelled, timeouts, observed int }

func (e *env) stats() (c counts, err error) {
	r, err := e.version("stats")
	if err == nil {
		_, err = fmt.Sscan(r.RuntimeName, &c.conns, &c.calls, &c.total, &c.cancelled, &c.timeouts, &c.observed)
	}
	return c, err
}

// waitStats polls until ok, because cancellation travels on its own.
func (e *env) waitStats(what string, ok func(counts) bool) error {
	var c counts
	for i := 0; i < 100; i++ {
		var err error
		if c, err = e.stats(); err != nil {
			return err
		}
		if ok(c) {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("server never saw %s: %+v", what, c)
}

func want(err error, code codes.Code, parts ...string) error {
	st := status.Convert(err)
	if st.Code() != code {
		return fmt.Errorf("code %v (%q), want %v", st.Code(), st.Message(), code)
	}
	for _, p := range parts {
		if !strings.Contains(st.Message(), p) {
			return fmt.Errorf("message %q lacks %q", st.Message(), p)
		}
	}
	return nil
}

func unary(e *env) error {
	for _, text := range []string{"0.1.0", "", "ü 世界", strings.Repeat("long", 50000)} {
		r, err := e.version(text)
		if err != nil {
			return err
		}
		if r.RuntimeName != text {
			return fmt.Errorf("echo of %d bytes gave %d", len(text), len(r.RuntimeName))
		}
	}
	ctx, cancel := short()
	defer cancel()
	x, err := e.rt.ExecSync(ctx, &cri.ExecSyncRequest{Cmd: []string{"a", "b"}, Timeout: 5})
	if err != nil {
		return err
	}
	if string(x.Stdout) != "ab" || x.ExitCode != 2 || string(x.Stderr) != "timeout" {
		return fmt.Errorf("exec: %v", x)
	}
	l, err := e.im.ListImages(ctx, &cri.ListImagesRequest{Filter: &cri.ImageFilter{Image: &cri.ImageSpec{Image: "1000"}}})
	if err != nil {
		return err
	}
	if len(l.Images) != 1000 || l.Images[999].Size != 999 {
		return fmt.Errorf("list: %d images", len(l.Images))
	}
	return nil
}

func targets(e *env) error {
	dialer := grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", e.socket)
	})
	for _, t := range []string{"unix:" + e.socket, "passthrough:///" + e.socket, "passthrough:" + e.socket, "dns:///localhost"} {
		c, err := dial(t, dialer)
		if err != nil {
			return fmt.Errorf("%s: %w", t, err)
		}
		ctx, cancel := short()
		_, err = cri.NewRuntimeServiceClient(c).Version(ctx, &cri.VersionRequest{})
		cancel()
		c.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", t, err)
		}
	}
	return nil
}

func bigAnswer(e *env) error {
	n := messageMax - 100
	r, err := e.version(fmt.Sprintf("big:%d", n))
	if err != nil {
		return err
	}
	if len(r.RuntimeName) != n {
		return fmt.Errorf("%d bytes", len(r.RuntimeName))
	}
	_, err = e.version(fmt.Sprintf("big:%d", messageMax+1))
	return want(err, codes.ResourceExhausted, "RuntimeService/Version", strconv.Itoa(messageMax))
}

func bigRequest(e *env) error {
	ctx, cancel := short()
	defer cancel()
	arg := strings.Repeat("r", messageMax/2-100)
	r, err := e.rt.ExecSync(ctx, &cri.ExecSyncRequest{Cmd: []string{arg, arg}})
	if err != nil {
		return err
	}
	if len(r.Stdout) != 2*len(arg) {
		return fmt.Errorf("%d bytes", len(r.Stdout))
	}
	over := &cri.ExecSyncRequest{Cmd: []string{strings.Repeat("r", messageMax)}}
	_, err = e.rt.ExecSync(ctx, over)
	if err := want(err, codes.ResourceExhausted, strconv.Itoa(messageMax), strconv.Itoa(proto.Size(over))); err != nil {
		return err
	}
	_, err = e.version("after")
	return err
}

func (e *env) stream(ctx context.Context, what string) (cri.ImageService_StreamImagesClient, error) {
	return e.im.StreamImages(ctx, &cri.StreamImagesRequest{Filter: &cri.ImageFilter{Image: &cri.ImageSpec{Image: what}}})
}

func (e *env) drain(what string, each func(i int, m *cri.StreamImagesResponse) error) (int, error) {
	ctx, cancel := short()
	defer cancel()
	s, err := e.stream(ctx, what)
	if err != nil {
		return 0, err
	}
	for i := 0; ; i++ {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return i, nil
		}
		if err != nil {
			return i, err
		}
		if each != nil {
			if err := each(i, m); err != nil {
				return i, err
			}
		}
	}
}

func streams(e *env) error {
	inOrder := func(i int, m *cri.StreamImagesResponse) error {
		if m.Images[0].Size != uint64(i) {
			return fmt.Errorf("message %d is number %d", i, m.Images[0].Size)
		}
		return nil
	}
	for what, n := range map[string]int{"now:300:1000": 300, "now:40:400000": 40, "now:0:0": 0, "tick:5:10": 5, "none": 0, "now:3:0": 3} {
		each := inOrder
		if strings.HasPrefix(what, "tick") {
			each = nil
		}
		got, err := e.drain(what, each)
		if err != nil || got != n {
			return fmt.Errorf("%s: %d messages, %v", what, got, err)
		}
	}
	n, err := e.drain("now-fail:7", nil)
	if n != 7 {
		return fmt.Errorf("%d messages before the failure", n)
	}
	return want(err, codes.NotFound, "asked to fail")
}

// A reader that does not read holds the stream, not the server nor other calls on the connection.
func slowReader(e *env) error {
	n, err := e.drain("now:60:1000000", func(i int, _ *cri.StreamImagesResponse) error {
		if i%10 != 0 {
			return nil
		}
		time.Sleep(30 * time.Millisecond)
		_, err := e.version("meanwhile")
		return err
	})
	if err != nil || n != 60 {
		return fmt.Errorf("%d messages, %v", n, err)
	}
	_, err = e.drain("until-full:1000000", nil)
	return want(err, codes.ResourceExhausted, "too slowly", strconv.Itoa(4*messageMax))
}

func deadline(e *env) error {
	before, err := e.stats()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	t := time.Now()
	_, err = e.rt.Version(ctx, &cri.VersionRequest{Version: "delay:5000"})
	if err := want(err, codes.DeadlineExceeded); err != nil {
		return err
	}
	if d := time.Since(t); d > 2*time.Second {
		return fmt.Errorf("took %v", d)
	}
	// the server ends it by its own clock, or by the client's RST_STREAM, whichever is first
	return e.waitStats("the deadline", func(c counts) bool {
		return c.timeouts+c.cancelled == before.timeouts+before.cancelled+1 && c.calls == 1
	})
}

func cancels(e *env) error {
	before, err := e.stats()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(100*time.Millisecond, cancel)
	_, err = e.rt.Version(ctx, &cri.VersionRequest{Version: "hang"})
	if err := want(err, codes.Canceled); err != nil {
		return err
	}
	if err := e.waitStats("the cancel", func(c counts) bool { return c.cancelled == before.cancelled+1 }); err != nil {
		return err
	}
	ctx, cancel = context.WithCancel(context.Background())
	s, err := e.stream(ctx, "tick:1000000:1")
	if err == nil {
		_, err = s.Recv()
	}
	cancel()
	if err != nil {
		return err
	}
	return e.waitStats("the end of a stream", func(c counts) bool { return c.cancelled == before.cancelled+2 })
}

func disconnect(e *env) error {
	other, err := dial("unix://" + e.socket)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		_, err := cri.NewRuntimeServiceClient(other).Version(context.Background(), &cri.VersionRequest{Version: "hang"})
		done <- err
	}()
	if err := e.waitStats("two connections", func(c counts) bool { return c.conns == 2 && c.calls == 2 }); err != nil {
		return err
	}
	before, err := e.stats()
	if err != nil {
		return err
	}
	other.Close()
	<-done
	return e.waitStats("the disconnect", func(c counts) bool { return c.conns == 1 && c.cancelled == before.cancelled+1 })
}

func failures(e *env) error {
	for kind, code := range map[string]codes.Code{
		"INVALID": codes.InvalidArgument, "NOT_FOUND": codes.NotFound, "EXISTS": codes.AlreadyExists,
		"BUSY": codes.Aborted, "TIMEOUT": codes.DeadlineExceeded, "UNAVAILABLE": codes.Unavailable,
		"UNSUPPORTED": codes.Unimplemented, "NO_SPACE": codes.ResourceExhausted, "INTERNAL": codes.Internal,
	} {
		_, err := e.version("fail:" + kind)
		if err := want(err, code, "asked to fail: 100%, ü, ?"); err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
	}
	r, err := e.version("bad-utf8")
	if err != nil || r.RuntimeName != "a??z" {
		return fmt.Errorf("bad-utf8: %v, %v", r, err)
	}
	return nil
}

type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error)      { return *v.(*[]byte), nil }
func (rawCodec) Unmarshal(data []byte, v any) error { *v.(*[]byte) = data; return nil }
func (rawCodec) Name() string                       { return "proto" }

func refusals(e *env) error {
	ctx, cancel := short()
	defer cancel()
	raw := func(method string, req []byte) error {
		var answer []byte
		return e.conn.Invoke(ctx, method, &req, &answer, grpc.ForceCodec(rawCodec{}))
	}
	if err := want(raw("/runtime.v1.RuntimeService/Nope", nil), codes.Unimplemented, "/runtime.v1.RuntimeService/Nope"); err != nil {
		return err
	}
	_, err := e.im.ImageFsInfo(ctx, &cri.ImageFsInfoRequest{})
	if err := want(err, codes.Unimplemented, "/runtime.v1.ImageService/ImageFsInfo is not implemented by tare"); err != nil {
		return err
	}
	for _, bad := range []string{"\xff", "\x0a\x05ab", "\x0a\x02\xc3\x28", "\x0a\x01\x00", "\x0b\x0c", "\x08\x01", "\x00"} {
		if err := want(raw("/runtime.v1.RuntimeService/Version", []byte(bad)), codes.InvalidArgument, "VersionRequest"); err != nil {
			return fmt.Errorf("%q: %w", bad, err)
		}
	}
	// an unknown field is no error
	if err := raw("/runtime.v1.RuntimeService/Version", []byte("\xf8\x3f\x01")); err != nil {
		return err
	}
	_, err = e.rt.Version(ctx, &cri.VersionRequest{Version: strings.Repeat("z", 100)}, grpc.UseCompressor(gzip.Name))
	if err := want(err, codes.Unimplemented, "compressed"); err != nil {
		return err
	}
	_, err = e.version("after")
	return err
}

func parallel(e *env) error {
	var wg sync.WaitGroup
	errs := make(chan error, 50)
	for i := 0; i < 50; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			c, err := dial("unix://" + e.socket)
			if err != nil {
				errs <- err
				return
			}
			defer c.Close()
			rt := cri.NewRuntimeServiceClient(c)
			for k := 0; k < 200; k++ {
				text := fmt.Sprintf("conn %d call %d", i, k)
				ctx, cancel := short()
				r, err := rt.Version(ctx, &cri.VersionRequest{Version: text})
				cancel()
				if err != nil || r.RuntimeName != text {
					errs <- fmt.Errorf("%s: %v %v", text, r, err)
					return
				}
			}
		}()
	}
	wg.Wait()
	select {
	case err := <-errs:
		return err
	default:
	}
	return e.waitStats("the end of 50 connections", func(c counts) bool { return c.conns == 1 && c.calls == 1 })
}

// More calls at once than a connection may have streams: the rest waits in the client.
func manyStreams(e *env) error {
	errs := make(chan error, 1000)
	for i := 0; i < cap(errs); i++ {
		go func() {
			_, err := e.version("delay:50")
			errs <- err
		}()
	}
	for i := 0; i < cap(errs); i++ {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

func cancelStorm(e *env) error {
	for i := 0; i < 400; i++ {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		_, err := e.rt.Version(ctx, &cri.VersionRequest{Version: "delay:20"})
		cancel()
		if err := want(err, codes.DeadlineExceeded); err != nil {
			return err
		}
	}
	_, err := e.version("after")
	return err
}

// Opens ARG connections, prints "ready", and holds them until standard input ends.
func idle(e *env) error {
	n, err := strconv.Atoi(e.arg)
	if err != nil {
		return err
	}
	for i := 0; i < n; i++ {
		c, err := dial("unix://" + e.socket)
		if err != nil {
			return err
		}
		defer c.Close()
		ctx, cancel := short()
		_, err = cri.NewRuntimeServiceClient(c).Version(ctx, &cri.VersionRequest{})
		cancel()
		if err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
	}
	fmt.Println("ready")
	_, err = io.ReadAll(os.Stdin)
	return err
}

// ARG is the server's pid: it is asked to end while a call runs, and lets it finish.
func stop(e *env) error {
	pid, err := strconv.Atoi(e.arg)
	if err != nil {
		return err
	}
	if _, err = e.version("first"); err != nil {
		return err
	}
	errs := make(chan error, 20)
	for i := 0; i < cap(errs); i++ {
		go func() {
			_, err := e.version("delay:600")
			errs <- err
		}()
	}
	time.Sleep(200 * time.Millisecond)
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return err
	}
	for i := 0; i < cap(errs); i++ {
		if err := <-errs; err != nil {
			return fmt.Errorf("a running call was not let finish: %w", err)
		}
	}
	_, err = e.version("late")
	return want(err, codes.Unavailable)
}

var scenarios = map[string]func(*env) error{
	"unary": unary, "targets": targets, "big-answer": bigAnswer, "big-request": bigRequest,
	"streams": streams, "slow-reader": slowReader, "deadline": deadline, "cancel": cancels,
	"disconnect": disconnect, "failures": failures, "refusals": refusals, "parallel": parallel,
	"many-streams": manyStreams, "cancel-storm": cancelStorm, "idle": idle, "stop": stop,
}

func run() error {
	if len(os.Args) < 3 || scenarios[os.Args[2]] == nil {
		return errors.New("usage: wire-client SOCKET SCENARIO [ARG]")
	}
	e := &env{socket: os.Args[1]}
	if len(os.Args) > 3 {
		e.arg = os.Args[3]
	}
	var err error
	if e.conn, err = dial("unix://" + e.socket); err != nil {
		return err
	}
	defer e.conn.Close()
	e.rt = cri.NewRuntimeServiceClient(e.conn)
	e.im = cri.NewImageServiceClient(e.conn)
	return scenarios[os.Args[2]](e)
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "wire-client: %v\n", err)
		os.Exit(1)
	}
}
