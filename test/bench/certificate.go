package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"time"
)

// newCertificate returns a certificate for 127.0.0.1 and the certificate of its root authority as PEM. Like those of AWS, the
// certificate is signed by an authority that the root has signed. The keys are elliptic curves, because RSA signatures would
// occupy the processor of the stand-ins.
func newCertificate() (tls.Certificate, []byte, error) {
	root, rootKey, err := sign(x509.Certificate{Subject: pkix.Name{CommonName: "root of the stand-ins"}, IsCA: true}, nil, nil)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	authority, authorityKey, err := sign(x509.Certificate{Subject: pkix.Name{CommonName: "authority of the stand-ins"}, IsCA: true}, root, rootKey)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	leaf, leafKey, err := sign(x509.Certificate{
		Subject: pkix.Name{CommonName: "127.0.0.1"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, authority, authorityKey)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	chain := tls.Certificate{Certificate: [][]byte{leaf.Raw, authority.Raw}, PrivateKey: leafKey}
	return chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}), nil
}

// sign creates a certificate with a new key. Without a parent it signs itself.
func sign(template x509.Certificate, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return nil, nil, err
	}
	template.SerialNumber, template.BasicConstraintsValid = serial, true
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	if template.IsCA {
		template.KeyUsage |= x509.KeyUsageCertSign
	}
	if parent == nil {
		parent, parentKey = &template, key
	}
	raw, err := x509.CreateCertificate(rand.Reader, &template, parent, &key.PublicKey, parentKey)
	if err != nil {
		return nil, nil, err
	}
	signed, err := x509.ParseCertificate(raw)
	return signed, key, err
}
