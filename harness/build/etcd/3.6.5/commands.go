//go:build commands

// Package commands names what is built here, for `go mod tidy`.
package commands

import _ "go.etcd.io/etcd/server/v3"
