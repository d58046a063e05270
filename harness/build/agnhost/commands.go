//go:build commands

// Package commands names what is built here, for `go mod tidy`.
package commands

import _ "k8s.io/kubernetes/test/images/agnhost"
