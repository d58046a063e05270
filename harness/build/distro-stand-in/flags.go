package main

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// What a flag takes.
type kind int

const (
	boolean kind = iota
	text
	list
)

// The values of the flags that were given.
type flags map[string][]string

// parse reads `--name=value`, `--name value` and, of a boolean, `--name`. What is not known is an
// error, as is a second value of a flag that is not a list.
func parse(arguments []string, known map[string]kind) (flags, []string, error) {
	given, rest := flags{}, []string{}
	for i := 0; i < len(arguments); i++ {
		name, isFlag := strings.CutPrefix(arguments[i], "--")
		if !isFlag {
			rest = append(rest, arguments[i])
			continue
		}
		name, value, hasValue := strings.Cut(name, "=")
		takes, isKnown := known[name]
		if !isKnown {
			return nil, nil, fmt.Errorf("flag provided but not defined: --%s", name)
		}
		if !hasValue && takes == boolean {
			value = "true"
		} else if !hasValue {
			i++
			if i == len(arguments) {
				return nil, nil, fmt.Errorf("flag needs an argument: --%s", name)
			}
			value = arguments[i]
		}
		if takes == boolean {
			if _, err := strconv.ParseBool(value); err != nil {
				return nil, nil, fmt.Errorf("invalid boolean value %q for --%s", value, name)
			}
		}
		if takes != list && len(given[name]) > 0 {
			return nil, nil, fmt.Errorf("--%s is given twice", name)
		}
		given[name] = append(given[name], value)
	}
	return given, rest, nil
}

func (f flags) text(name, otherwise string) string {
	if values := f[name]; len(values) > 0 {
		return values[0]
	}
	return otherwise
}

func (f flags) is(name string) bool {
	value, _ := strconv.ParseBool(f.text(name, "false"))
	return value
}

// split gives the items of a list whose values may themselves be separated by commas.
func (f flags) split(name string) []string {
	var items []string
	for _, value := range f[name] {
		items = append(items, strings.Split(value, ",")...)
	}
	return items
}

// settings are the flags of an upstream program, without dashes.
type settings map[string]string

// override sets `name=value` as k3s does: dashes in front are optional, no value means true.
func (s settings) override(extra []string) {
	for _, argument := range extra {
		name, value, hasValue := strings.Cut(strings.TrimPrefix(argument, "--"), "=")
		if !hasValue {
			value = "true"
		}
		s[name] = value
	}
}

func (s settings) arguments() []string {
	var arguments []string
	for name, value := range s {
		arguments = append(arguments, "--"+name+"="+value)
	}
	slices.Sort(arguments)
	return arguments
}

func isNetwork(value string) error {
	if _, _, err := net.ParseCIDR(value); err != nil {
		return fmt.Errorf("%q is no range of addresses", value)
	}
	return nil
}

func isPort(value string) error {
	if port, err := strconv.Atoi(value); err != nil || port < 1 || port > 65535 {
		return fmt.Errorf("%q is no port", value)
	}
	return nil
}

var dnsName = regexp.MustCompile(`^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?)*$`)

func isHost(value string) error {
	if net.ParseIP(value) == nil && !dnsName.MatchString(value) {
		return fmt.Errorf("%q is neither an address nor a DNS name", value)
	}
	return nil
}

// first gives the address of the service that stands for the API server.
func first(network string) string {
	_, parsed, _ := net.ParseCIDR(network)
	address := slices.Clone(parsed.IP)
	address[len(address)-1]++
	return address.String()
}

func oneOf(what, value string, valid ...string) error {
	if slices.Contains(valid, value) {
		return nil
	}
	return fmt.Errorf("unknown %s %s (valid: %s)", what, value, strings.Join(valid, ","))
}
