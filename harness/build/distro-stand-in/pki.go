package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// An authority that a distro signs certificates with.
type authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
	pem         []byte
}

// A certificate and its key, as files.
type leaf struct {
	certificate, key string
}

// What a store in the same pod is called by.
var localHosts = []string{"127.0.0.1", "localhost"}

// readAuthority reads `NAME.crt` and `NAME.key` and makes sure that they belong together.
func readAuthority(directory, name string) (*authority, error) {
	certificateFile := filepath.Join(directory, name+".crt")
	keyFile := filepath.Join(directory, name+".key")
	text, err := os.ReadFile(certificateFile)
	if err != nil {
		return nil, fmt.Errorf("an authority would be made anew: %w", err)
	}
	keyText, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, fmt.Errorf("an authority would be made anew: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s holds no certificate", certificateFile)
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", certificateFile, err)
	}
	key, err := privateKey(keyText)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", keyFile, err)
	}
	now := time.Now()
	switch {
	case !certificate.IsCA || certificate.KeyUsage&x509.KeyUsageCertSign == 0:
		return nil, fmt.Errorf("%s is no authority", certificateFile)
	case now.Before(certificate.NotBefore) || now.After(certificate.NotAfter):
		return nil, fmt.Errorf("%s does not hold now", certificateFile)
	case !isSame(certificate.PublicKey, key.Public()):
		return nil, fmt.Errorf("%s is not the key of %s", keyFile, certificateFile)
	}
	return &authority{certificate, key, text}, nil
}

func isSame(one, other crypto.PublicKey) bool {
	comparable, ok := one.(interface{ Equal(crypto.PublicKey) bool })
	return ok && comparable.Equal(other)
}

// privateKey gives the first private key, in any of the three forms that Kubernetes reads.
func privateKey(text []byte) (crypto.Signer, error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		var key any
		var err error
		switch block.Type {
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		default:
			continue
		}
		if err != nil {
			return nil, err
		}
		if signer, ok := key.(crypto.Signer); ok {
			return signer, nil
		}
	}
	return nil, errors.New("no private key in it")
}

// verifies tells whether Kubernetes, which verifies tokens with this file, reads the public half of
// key in it. It takes one out of a private key in SEC 1 or PKCS #1, and in no case out of PKCS #8.
func verifies(text []byte, key crypto.Signer) bool {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		var public crypto.PublicKey
		switch block.Type {
		case "EC PRIVATE KEY":
			if private, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
				public = private.Public()
			}
		case "RSA PRIVATE KEY":
			if private, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
				public = private.Public()
			}
		case "PUBLIC KEY":
			public, _ = x509.ParsePKIXPublicKey(block.Bytes)
		}
		switch public.(type) {
		case *ecdsa.PublicKey, *rsa.PublicKey:
			if isSame(public, key.Public()) {
				return true
			}
		}
	}
	return false
}

func (a *authority) client(directory, name, user string, groups ...string) (leaf, error) {
	return a.sign(directory, name, &x509.Certificate{
		Subject:     pkix.Name{CommonName: user, Organization: groups},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

func (a *authority) server(directory, name, user string, hosts []string) (leaf, error) {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: user},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, host := range hosts {
		if address := net.ParseIP(host); address != nil {
			template.IPAddresses = append(template.IPAddresses, address)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	return a.sign(directory, name, template)
}

func (a *authority) sign(directory, name string, template *x509.Certificate) (leaf, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return leaf{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return leaf{}, err
	}
	template.SerialNumber = serial
	template.NotBefore = a.certificate.NotBefore
	template.NotAfter = time.Now().AddDate(1, 0, 0)
	template.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment
	certificate, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return leaf{}, err
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return leaf{}, err
	}
	made := leaf{filepath.Join(directory, name+".crt"), filepath.Join(directory, name+".key")}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
	text = append(text, bytes.TrimSpace(a.pem)...)
	if err := os.WriteFile(made.certificate, append(text, '\n'), 0o644); err != nil {
		return leaf{}, err
	}
	text = pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private})
	return made, os.WriteFile(made.key, text, 0o600)
}

// kubeconfig writes a kubeconfig that names files.
func kubeconfig(path, port, authority string, client leaf) error {
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: local, cluster: {server: "https://127.0.0.1:%s", certificate-authority: %q}}]
users: [{name: user, user: {client-certificate: %q, client-key: %q}}]
contexts: [{name: local, context: {cluster: local, user: user}}]
current-context: local
`, port, authority, client.certificate, client.key)
	return os.WriteFile(path, []byte(text), 0o600)
}
