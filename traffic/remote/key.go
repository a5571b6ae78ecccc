package remote

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// Key is what a client must know of a server.
type Key struct {
	fingerprint [sha256.Size]byte // of the server's certificate
	token       [32]byte
}

// String is the key's text form, a secret.
func (k Key) String() string {
	return base64.RawURLEncoding.EncodeToString(append(k.fingerprint[:], k.token[:]...))
}

// ParseKey reads what String wrote.
func ParseKey(s string) (k Key, err error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) != len(k.fingerprint)+len(k.token) {
		return k, errors.New("not a key: want the one that 'superbpf traffic serve' printed")
	}
	copy(k.fingerprint[:], b)
	copy(k.token[:], b[len(k.fingerprint):])
	return k, nil
}

// validFor is how long a server's certificate lasts; the key goes with the server
// anyway.
const validFor = 365 * 24 * time.Hour

// newKey makes a certificate that signs itself, and its key.
func newKey() (Key, tls.Certificate, error) {
	var k Key
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return k, tls.Certificate{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		return k, tls.Certificate{}, err
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "superbpf"},
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(validFor), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return k, tls.Certificate{}, err
	}
	k.fingerprint = sha256.Sum256(der)
	if _, err := rand.Read(k.token[:]); err != nil {
		return k, tls.Certificate{}, err
	}
	return k, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, nil
}

// pinned accepts the certificate with the key's fingerprint and no other; names
// and authorities play no part.
func (k Key) pinned() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, // VerifyConnection does it
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 || sha256.Sum256(s.PeerCertificates[0].Raw) != k.fingerprint {
				return fmt.Errorf("the server is not the one that the key belongs to")
			}
			return nil
		},
	}
}
