package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

// The upstream programs of a control plane.
type parts struct {
	// The user that they run as when this process is root.
	user int
	// How the distro says what they say.
	retell                 retelling
	store                  store
	port                   string
	apiserver, controllers settings
	authority              *authority
	administrator          leaf
}

const patience = 2 * time.Minute

// run starts the programs in their order and returns when one of them ends, or when it is told to.
func (p *parts) run() error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	ended := make(chan error, 3)
	var commands []*exec.Cmd
	defer func() {
		for _, command := range commands {
			_ = command.Process.Kill()
		}
	}()
	start := func(name string, arguments settings, environment []string) error {
		command := exec.Command(name, arguments.arguments()...)
		command.Env = environment
		command.Stdout = &lines{program: name, stream: "stdout", retell: p.retell}
		command.Stderr = &lines{program: name, stream: "stderr", retell: p.retell}
		if os.Geteuid() == 0 {
			command.SysProcAttr = &syscall.SysProcAttr{
				Credential: &syscall.Credential{Uid: uint32(p.user)},
			}
		}
		if err := command.Start(); err != nil {
			return fmt.Errorf("could not start %s: %w", name, err)
		}
		commands = append(commands, command)
		go func() { ended <- fmt.Errorf("%s ended: %v", name, command.Wait()) }()
		return nil
	}
	if err := start(p.store.program, p.store.arguments, p.store.environment); err != nil {
		return err
	}
	listening, ready := make(chan error, 1), make(chan error, 1)
	go func() { listening <- p.store.wait() }()
	for {
		select {
		case err := <-listening:
			if err != nil {
				return err
			}
			if err := start("kube-apiserver", p.apiserver, nil); err != nil {
				return err
			}
			go func() { ready <- p.wait() }()
		case err := <-ready:
			if err != nil {
				return err
			}
			if err := start("kube-controller-manager", p.controllers, nil); err != nil {
				return err
			}
		case err := <-ended:
			return err
		case <-signals:
			return nil
		}
	}
}

// wait returns when the API server is ready, before which no controller manager is started.
func (p *parts) wait() error {
	certificate, err := tls.LoadX509KeyPair(p.administrator.certificate, p.administrator.key)
	if err != nil {
		return err
	}
	trusted := x509.NewCertPool()
	trusted.AddCert(p.authority.certificate)
	client := &http.Client{
		Timeout: time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{
			Certificates: []tls.Certificate{certificate},
			RootCAs:      trusted,
		}},
	}
	seen := "nothing"
	for begun := time.Now(); time.Since(begun) < patience; time.Sleep(50 * time.Millisecond) {
		response, err := client.Get("https://127.0.0.1:" + p.port + "/readyz")
		if err != nil {
			seen = err.Error()
			continue
		}
		response.Body.Close()
		if response.StatusCode == http.StatusOK {
			return nil
		}
		seen = response.Status
	}
	return fmt.Errorf("the API server was not ready within %s; last seen: %s", patience, seen)
}
