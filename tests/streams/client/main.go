// SPDX-License-Identifier: Apache-2.0

// A client of exec, attach and port-forward made of client-go, as kubectl is.
//
//	client run URL TRANSPORT [-i] [-t] [-s WIDTHxHEIGHT]...   stdin, stdout, stderr; its exit status
//	client many TRANSPORT PARALLEL < URLS                     a line each: its status and output
//	client forward URL TRANSPORT PORTS                        until its standard input ends
//
// TRANSPORT is spdy or websocket.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/client-go/util/exec"
)

const failed = 250 // no status of the command's

// With https the certificates and the key are the files that the environment names.
func configuration() *rest.Config {
	return &rest.Config{TLSClientConfig: rest.TLSClientConfig{
		CAFile:   os.Getenv("CA"),
		CertFile: os.Getenv("CERTIFICATE"),
		KeyFile:  os.Getenv("KEY"),
	}}
}

func executor(text, transport string) (remotecommand.Executor, error) {
	config := configuration()
	if transport == "websocket" {
		return remotecommand.NewWebSocketExecutor(config, http.MethodGet, text)
	}
	target, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	return remotecommand.NewSPDYExecutor(config, http.MethodPost, target)
}

func status(err error) int {
	var code exec.CodeExitError
	if errors.As(err, &code) {
		return code.Code
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return failed
	}
	return 0
}

type sizes chan *remotecommand.TerminalSize

func (s sizes) Next() *remotecommand.TerminalSize {
	return <-s
}

func run(target, transport string, options []string) int {
	stream := remotecommand.StreamOptions{Stdout: os.Stdout, Stderr: os.Stderr}
	queue := make(sizes, len(options))
	for i, option := range options {
		switch option {
		case "-i":
			stream.Stdin = os.Stdin
		case "-t":
			stream.Tty = true
			stream.Stderr = nil
			stream.TerminalSizeQueue = queue
		case "-s":
			var size remotecommand.TerminalSize
			if _, err := fmt.Sscanf(options[i+1], "%dx%d", &size.Width, &size.Height); err != nil {
				return status(err)
			}
			queue <- &size
		}
	}
	made, err := executor(target, transport)
	if err != nil {
		return status(err)
	}
	return status(made.StreamWithContext(context.Background(), stream))
}

func many(transport string, parallel int) int {
	var lock sync.Mutex
	var group sync.WaitGroup
	slots := make(chan struct{}, parallel)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		target := lines.Text()
		slots <- struct{}{}
		group.Add(1)
		go func() {
			defer group.Done()
			var out, errOut bytes.Buffer
			made, err := executor(target, transport)
			if err == nil {
				stream := remotecommand.StreamOptions{Stdout: &out, Stderr: &errOut}
				err = made.StreamWithContext(context.Background(), stream)
			}
			lock.Lock()
			fmt.Printf("%d %q %q\n", status(err), out.String(), errOut.String())
			lock.Unlock()
			<-slots
		}()
	}
	group.Wait()
	return 0
}

func dialer(text, transport string) (httpstream.Dialer, error) {
	config := configuration()
	target, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	if transport == "websocket" {
		return portforward.NewSPDYOverWebsocketDialer(target, config)
	}
	round, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return nil, err
	}
	return spdy.NewDialer(upgrader, &http.Client{Transport: round}, http.MethodPost, target), nil
}

func forward(target, transport string, ports []string) int {
	stop, ready := make(chan struct{}), make(chan struct{})
	made, err := dialer(target, transport)
	if err != nil {
		return status(err)
	}
	forwarder, err := portforward.New(made, ports, stop, ready, io.Discard, os.Stderr)
	if err != nil {
		return status(err)
	}
	go func() {
		<-ready
		bound, _ := forwarder.GetPorts()
		for _, port := range bound {
			fmt.Println(port.Local, port.Remote)
		}
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(stop)
	}()
	return status(forwarder.ForwardPorts())
}

func main() {
	args := os.Args[1:]
	switch {
	case len(args) >= 3 && args[0] == "run":
		os.Exit(run(args[1], args[2], args[3:]))
	case len(args) == 3 && args[0] == "many":
		parallel, err := strconv.Atoi(args[2])
		if err != nil {
			os.Exit(status(err))
		}
		os.Exit(many(args[1], parallel))
	case len(args) == 4 && args[0] == "forward":
		os.Exit(forward(args[1], args[2], strings.Split(args[3], ",")))
	}
	fmt.Fprintln(os.Stderr, "usage: client run|many|forward ...")
	os.Exit(2)
}
