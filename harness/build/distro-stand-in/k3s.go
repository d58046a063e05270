package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
)

// The flags of `k3s server`, as documented.
var k3sFlags = func() map[string]kind {
	known := map[string]kind{}
	for takes, names := range map[kind][]string{
		boolean: {
			"alsologtostderr", "cluster-init", "cluster-reset", "debug", "disable-agent",
			"disable-apiserver", "disable-cloud-controller", "disable-controller-manager",
			"disable-default-registry-endpoint", "disable-etcd", "disable-helm-controller",
			"disable-kube-proxy", "disable-network-policy", "disable-scheduler", "docker",
			"embedded-registry", "enable-pprof", "etcd-disable-snapshots", "etcd-expose-metrics",
			"etcd-s3", "etcd-s3-insecure", "etcd-s3-skip-ssl-verify", "etcd-snapshot-compress",
			"flannel-external-ip", "flannel-ipv6-masq", "kine-tls", "multi-cluster-cidr",
			"prefer-bundled-bin", "protect-kernel-defaults", "rootless", "secrets-encryption",
			"selinux", "supervisor-metrics", "tls-san-security", "with-node-id",
		},
		text: {
			"advertise-address", "advertise-port", "agent-token", "agent-token-file",
			"airgap-extra-registry", "bind-address", "cluster-domain", "cluster-reset-restore-path",
			"config", "container-runtime-endpoint", "data-dir", "datastore-cafile",
			"datastore-certfile", "datastore-endpoint", "datastore-keyfile",
			"default-local-storage-path", "default-runtime", "egress-selector-mode",
			"etcd-s3-access-key", "etcd-s3-bucket", "etcd-s3-config-secret", "etcd-s3-endpoint",
			"etcd-s3-endpoint-ca", "etcd-s3-folder", "etcd-s3-proxy", "etcd-s3-region",
			"etcd-s3-secret-key", "etcd-s3-timeout", "etcd-snapshot-dir", "etcd-snapshot-name",
			"etcd-snapshot-retention", "etcd-snapshot-schedule-cron", "flannel-backend",
			"flannel-cni-conf", "flannel-conf", "flannel-iface", "helm-job-image",
			"https-listen-port", "image-credential-provider-bin-dir",
			"image-credential-provider-config", "image-service-endpoint", "lb-server-port", "log",
			"node-name", "pause-image", "private-registry", "resolv-conf",
			"secrets-encryption-provider", "server", "service-node-port-range",
			"servicelb-namespace", "snapshotter", "system-default-registry", "token", "token-file",
			"v", "vmodule", "vpn-auth", "vpn-auth-file", "write-kubeconfig",
			"write-kubeconfig-group", "write-kubeconfig-mode",
		},
		list: {
			"cluster-cidr", "cluster-dns", "disable", "etcd-arg", "kube-apiserver-arg",
			"kube-cloud-controller-manager-arg", "kube-controller-manager-arg", "kube-proxy-arg",
			"kube-scheduler-arg", "kubelet-arg", "node-external-dns", "node-external-ip",
			"node-internal-dns", "node-ip", "node-label", "node-taint", "service-cidr", "tls-san",
		},
	} {
		for _, name := range names {
			known[name] = takes
		}
	}
	return known
}()

func k3s(arguments []string) error {
	if os.Getpid() == 1 {
		return errors.New("as process 1 it would rearrange the control groups; start it from a shell")
	}
	if len(arguments) == 0 || arguments[0] != "server" {
		return errors.New("only `k3s server` is stood in for")
	}
	given, rest, err := parse(arguments[1:], k3sFlags)
	if err != nil {
		return err
	}
	if err := checkK3s(given, rest); err != nil {
		return err
	}
	control := filepath.Join(given.text("data-dir", "/var/lib/rancher/k3s"), "server")
	tls := filepath.Join(control, "tls")
	authorities := map[string]*authority{}
	for _, name := range []string{"server-ca", "client-ca", "request-header-ca", "etcd/server-ca", "etcd/peer-ca"} {
		if authorities[name], err = readAuthority(tls, name); err != nil {
			return err
		}
	}
	service := filepath.Join(tls, "service.key")
	if err := checkServiceKey(service); err != nil {
		return err
	}
	if err := os.WriteFile(given.text("write-kubeconfig", "/etc/rancher/k3s/k3s.yaml"), nil, 0o600); err != nil {
		return fmt.Errorf("could not write the kubeconfig: %w", err)
	}
	return startK3s(given, control, service, authorities)
}

// checkK3s refuses values that k3s or the programs in it would refuse.
func checkK3s(given flags, rest []string) error {
	if len(rest) > 0 {
		return fmt.Errorf("extra arguments: %q", rest)
	}
	if !given.is("disable-agent") {
		return errors.New("an agent would be started, which needs root; --disable-agent is missing")
	}
	checks := []error{
		oneOf("egress-selector-mode", given.text("egress-selector-mode", "agent"), "agent", "cluster", "pod", "disabled"),
		oneOf("flannel-backend", given.text("flannel-backend", "vxlan"), "none", "vxlan", "host-gw", "wireguard-native"),
		isPort(given.text("https-listen-port", "6443")),
		isHost(given.text("cluster-domain", "cluster.local")),
	}
	for _, item := range given.split("disable") {
		checks = append(checks, oneOf("packaged component", item,
			"coredns", "servicelb", "traefik", "local-storage", "metrics-server", "runtimes"))
	}
	for _, network := range append(given.split("service-cidr"), given.split("cluster-cidr")...) {
		checks = append(checks, isNetwork(network))
	}
	for _, name := range given.split("tls-san") {
		checks = append(checks, isHost(name))
	}
	if len(given["kube-scheduler-arg"]) > 0 || !given.is("disable-scheduler") {
		checks = append(checks, errors.New("this stand-in has no scheduler"))
	}
	if endpoint := datastore(given); endpoint != "" {
		checks = append(checks, checkEndpoint(endpoint))
	}
	return errors.Join(checks...)
}

// datastore gives the endpoint of a database outside, or nothing.
func datastore(given flags) string {
	return given.text("datastore-endpoint", os.Getenv("K3S_DATASTORE_ENDPOINT"))
}

// ownKine is a part of k3s, which tells in its own words what that says.
func ownKine(endpoint, socket string) store {
	part := kine(endpoint, socket)
	part.arguments["log-format"] = "json"
	return part
}

// k3sStore is what k3s keeps its objects in: a database, etcd of its own, or a file. Kine has its socket in the
// server's directory whatever is behind it.
func k3sStore(given flags, control string, etcdAuthority *authority) (store, error) {
	socket := filepath.Join(control, "kine.sock")
	if endpoint := datastore(given); endpoint != "" {
		return ownKine(endpoint, socket), nil
	}
	directory := filepath.Join(control, "db")
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return store{}, err
	}
	if !given.is("cluster-init") {
		return ownKine(sqlite(directory), socket), nil
	}
	tls := filepath.Join(control, "tls", "etcd")
	server, err := etcdAuthority.server(tls, "server-client", "etcd-server", localHosts)
	if err != nil {
		return store{}, err
	}
	client, err := etcdAuthority.client(tls, "client", "etcd-client")
	if err != nil {
		return store{}, err
	}
	return etcd(filepath.Join(directory, "etcd"), filepath.Join(tls, "server-ca.crt"), server, client), nil
}

// checkServiceKey makes sure that tokens can be signed and verified with the one file.
func checkServiceKey(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("a signing key would be made anew: %w", err)
	}
	key, err := privateKey(text)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if !verifies(text, key) {
		return fmt.Errorf("%s: data does not contain any valid RSA or ECDSA public keys", path)
	}
	return nil
}

func startK3s(given flags, control, service string, authorities map[string]*authority) error {
	tls, credentials := filepath.Join(control, "tls"), filepath.Join(control, "cred")
	if err := os.MkdirAll(credentials, 0o700); err != nil {
		return err
	}
	domain := given.text("cluster-domain", "cluster.local")
	services := given.text("service-cidr", "10.43.0.0/16")
	port := given.text("https-listen-port", "6443")
	hosts := append(given.split("tls-san"), "127.0.0.1", "::1", "localhost", first(services),
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc."+domain)
	serving, err := authorities["server-ca"].server(tls, "serving-kube-apiserver", "kube-apiserver", hosts)
	if err != nil {
		return err
	}
	clients := authorities["client-ca"]
	administrator, err := clients.client(tls, "client-admin", "system:admin", "system:masters")
	if err != nil {
		return err
	}
	kubelet, err := clients.client(tls, "client-kube-apiserver", "system:apiserver", "system:masters")
	if err != nil {
		return err
	}
	controller, err := clients.client(tls, "client-controller", "system:kube-controller-manager")
	if err != nil {
		return err
	}
	proxy, err := authorities["request-header-ca"].client(tls, "client-auth-proxy", "system:auth-proxy")
	if err != nil {
		return err
	}
	serverAuthority, clientAuthority := filepath.Join(tls, "server-ca.crt"), filepath.Join(tls, "client-ca.crt")
	controllerConfig := filepath.Join(credentials, "controller.kubeconfig")
	if err := kubeconfig(controllerConfig, port, serverAuthority, controller); err != nil {
		return err
	}
	objects, err := k3sStore(given, control, authorities["etcd/server-ca"])
	if err != nil {
		return err
	}
	issuer := "https://kubernetes.default.svc." + domain
	apiserver := settings{
		"cert-dir":                           filepath.Join(tls, "temporary-certs"),
		"allow-privileged":                   "true",
		"enable-bootstrap-token-auth":        "true",
		"authorization-mode":                 "Node,RBAC",
		"anonymous-auth":                     "false",
		"service-account-signing-key-file":   service,
		"service-account-key-file":           service,
		"service-account-issuer":             issuer,
		"api-audiences":                      issuer + ",k3s",
		"service-cluster-ip-range":           services,
		"service-node-port-range":            given.text("service-node-port-range", "30000-32767"),
		"secure-port":                        port,
		"tls-cert-file":                      serving.certificate,
		"tls-private-key-file":               serving.key,
		"client-ca-file":                     clientAuthority,
		"kubelet-certificate-authority":      serverAuthority,
		"kubelet-client-certificate":         kubelet.certificate,
		"kubelet-client-key":                 kubelet.key,
		"kubelet-preferred-address-types":    "InternalIP,ExternalIP,Hostname",
		"requestheader-client-ca-file":       filepath.Join(tls, "request-header-ca.crt"),
		"requestheader-allowed-names":        "system:auth-proxy",
		"requestheader-extra-headers-prefix": "X-Remote-Extra-",
		"requestheader-group-headers":        "X-Remote-Group",
		"requestheader-username-headers":     "X-Remote-User",
		"proxy-client-cert-file":             proxy.certificate,
		"proxy-client-key-file":              proxy.key,
		"enable-admission-plugins":           "NodeRestriction",
		"profiling":                          "false",
	}
	controllers := settings{
		"kubeconfig":                       controllerConfig,
		"service-account-private-key-file": service,
		"root-ca-file":                     serverAuthority,
		"allocate-node-cidrs":              "true",
		"cluster-cidr":                     given.text("cluster-cidr", "10.42.0.0/16"),
		"bind-address":                     "127.0.0.1",
		"secure-port":                      "0",
		"leader-elect":                     "false",
		"profiling":                        "false",
		"use-service-account-credentials":  "true",
	}
	for _, signer := range []string{"kube-apiserver-client", "kubelet-client", "legacy-unknown"} {
		controllers["cluster-signing-"+signer+"-cert-file"] = clientAuthority
		controllers["cluster-signing-"+signer+"-key-file"] = filepath.Join(tls, "client-ca.key")
	}
	controllers["cluster-signing-kubelet-serving-cert-file"] = serverAuthority
	controllers["cluster-signing-kubelet-serving-key-file"] = filepath.Join(tls, "server-ca.key")
	maps.Copy(apiserver, objects.access)
	apiserver.override(given["kube-apiserver-arg"])
	controllers.override(given["kube-controller-manager-arg"])
	upstream := parts{
		retell:        asOne,
		store:         objects,
		port:          port,
		apiserver:     apiserver,
		controllers:   controllers,
		authority:     authorities["server-ca"],
		administrator: administrator,
	}
	return upstream.run()
}
