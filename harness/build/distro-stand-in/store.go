package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A store as a program that serves etcd's API.
type store struct {
	program   string
	arguments settings
	// Where an endpoint is, which may hold a password.
	environment []string
	// Where it listens.
	network, address string
	// How the API server is told.
	access settings
}

const etcdAddress = "127.0.0.1:2379"

// etcd is one member, which is told by no other how to start. It speaks to none but those who show a certificate.
func etcd(directory, authority string, server, client leaf) store {
	url := "https://" + etcdAddress
	return store{
		program: "etcd",
		arguments: settings{
			"data-dir":                    directory,
			"listen-client-urls":          url,
			"advertise-client-urls":       url,
			"client-cert-auth":            "true",
			"trusted-ca-file":             authority,
			"cert-file":                   server.certificate,
			"key-file":                    server.key,
			"listen-peer-urls":            "http://127.0.0.1:2380",
			"initial-advertise-peer-urls": "http://127.0.0.1:2380",
			"initial-cluster":             "default=http://127.0.0.1:2380",
			"unsafe-no-fsync":             "true",
			"heartbeat-interval":          "20",
			"election-timeout":            "200",
			"log-level":                   "warn",
		},
		network: "tcp",
		address: etcdAddress,
		access: settings{
			"etcd-servers":  url,
			"etcd-cafile":   authority,
			"etcd-certfile": client.certificate,
			"etcd-keyfile":  client.key,
		},
	}
}

// kine is in front of the database at the endpoint, behind a socket.
func kine(endpoint, socket string) store {
	return store{
		program:     "kine",
		arguments:   settings{"listen-address": "unix://" + socket, "metrics-bind-address": "0"},
		environment: append(os.Environ(), "KINE_ENDPOINT="+endpoint),
		network:     "unix",
		address:     socket,
		access:      settings{"etcd-servers": "unix://" + socket},
	}
}

// wait returns when somebody listens, before which no API server is started.
func (s store) wait() error {
	var last error
	for begun := time.Now(); time.Since(begun) < patience; time.Sleep(10 * time.Millisecond) {
		var connection net.Conn
		if connection, last = net.Dial(s.network, s.address); last == nil {
			return connection.Close()
		}
	}
	return fmt.Errorf("%s was not there within %s: %w", s.program, patience, last)
}

// sqlite is kine's endpoint of a file.
func sqlite(directory string) string {
	return "sqlite://" + filepath.Join(directory, "state.db") +
		"?_journal=WAL&cache=shared&_busy_timeout=30000&_txlock=immediate"
}

// checkEndpoint refuses what kine does not speak to.
func checkEndpoint(endpoint string) error {
	for _, scheme := range []string{"sqlite", "postgres", "postgresql", "mysql"} {
		if strings.HasPrefix(endpoint, scheme+"://") {
			return nil
		}
	}
	return errors.New("storage backend is not defined")
}
