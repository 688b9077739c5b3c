package proxytest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
)

// RecordKey encrypts the records of a client of TLS 1.3, with AES-128-GCM. crypto/tls sends nothing
// but data on its own account, and tests need the other messages that a client can send.
type RecordKey struct {
	secret   []byte
	aead     cipher.AEAD
	iv       []byte
	sequence uint64
}

// The kinds of records.
const (
	RecordHandshake = 22
	RecordData      = 23
)

// KeyUpdate is the message behind which the sender uses its next key. The receiver need not do so.
const KeyUpdate = "\x18\x00\x00\x01\x00"

// NewRecordKey returns the key of what a client sends first behind its handshake. log is what
// crypto/tls has written to the KeyLogWriter of the client.
func NewRecordKey(log string) (*RecordKey, error) {
	_, secret, _ := strings.Cut(log, "CLIENT_TRAFFIC_SECRET_0 ")
	secret, _, _ = strings.Cut(secret, "\n")
	_, secret, _ = strings.Cut(secret, " ") // behind the client's random
	raw, err := hex.DecodeString(secret)
	if err != nil {
		return nil, fmt.Errorf("reading the log of keys: %w", err)
	}
	return newRecordKey(raw)
}

func newRecordKey(secret []byte) (*RecordKey, error) {
	key, err := expandLabel(secret, "key", 16)
	if err != nil {
		return nil, err
	}
	iv, err := expandLabel(secret, "iv", 12)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	return &RecordKey{secret: secret, aead: aead, iv: iv}, err
}

// expandLabel is HKDF-Expand-Label of RFC 8446, section 7.1, without a context.
func expandLabel(secret []byte, label string, length int) ([]byte, error) {
	label = "tls13 " + label
	return hkdf.Expand(sha256.New, secret, string([]byte{byte(length >> 8), byte(length), byte(len(label))})+label+"\x00", length)
}

// Next returns the key that follows a KeyUpdate.
func (k *RecordKey) Next() (*RecordKey, error) {
	secret, err := expandLabel(k.secret, "traffic upd", sha256.Size)
	if err != nil {
		return nil, err
	}
	return newRecordKey(secret)
}

// Record encrypts one record.
func (k *RecordKey) Record(kind byte, data string) []byte {
	inner := append([]byte(data), kind)
	head := []byte{RecordData, 3, 3, 0, 0}
	binary.BigEndian.PutUint16(head[3:], uint16(len(inner)+k.aead.Overhead()))
	nonce := append([]byte(nil), k.iv...)
	for i := range 8 {
		nonce[len(nonce)-1-i] ^= byte(k.sequence >> (8 * i))
	}
	k.sequence++
	return k.aead.Seal(head, nonce, inner, head)
}
