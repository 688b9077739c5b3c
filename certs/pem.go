package certs

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"strings"
)

// PEM is the content of a file of PEM blocks.
type PEM struct {
	// File is the name of the file, for error messages.
	File string
	Data []byte
}

// given reports whether there is a file.
func (p PEM) given() bool { return p.File != "" || len(p.Data) > 0 }

// fileError returns an error about a file. It must not repeat the content of the file.
func fileError(p PEM, problem, hint string) error {
	return fmt.Errorf("%s: %s (hint: %s)", p.File, problem, hint)
}

// block is one PEM block, with its number in the file and the line on which it begins.
type block struct {
	*pem.Block
	number, line int
}

func (b *block) String() string {
	return fmt.Sprintf("PEM block %d (%s, line %d)", b.number, b.Type, b.line)
}

const beginning = "-----BEGIN "

// byteOrderMark begins files of some editors. If such files are joined, it also stands
// before blocks in the middle.
var byteOrderMark = []byte("\xef\xbb\xbf")

// decodeBlocks splits a file into its PEM blocks. Text between them is allowed because
// openssl writes some. A line that begins a block which cannot be decoded is an error; the
// result then holds the other blocks, and the error is about the first such line.
func decodeBlocks(p PEM) (list []*block, err error) {
	if bytes.HasPrefix(p.Data, []byte("\xff\xfe")) || bytes.HasPrefix(p.Data, []byte("\xfe\xff")) {
		return nil, fileError(p, "the text is in UTF-16", "save the file in UTF-8 or ASCII")
	}
	data := bytes.ReplaceAll(p.Data, byteOrderMark, nil)
	line, at := 1, 0
	for number := 1; ; number++ {
		start := bytes.Index(data[at:], []byte(beginning))
		if start < 0 {
			return list, err
		}
		start += at
		line += bytes.Count(data[at:start], []byte("\n"))
		end := len(data)
		if next := bytes.Index(data[start+len(beginning):], []byte(beginning)); next >= 0 {
			end = start + len(beginning) + next
		}
		b, _ := pem.Decode(data[start:end])
		switch {
		case b != nil && (start == 0 || data[start-1] == '\n'):
			list = append(list, &block{b, number, line})
		case err != nil:
		case b == nil:
			err = fileError(p, fmt.Sprintf("PEM block %d, which begins on line %d, cannot be decoded", number, line), "the file may be truncated, or the block is damaged")
		default:
			err = fileError(p, fmt.Sprintf("PEM block %d begins in the middle of line %d", number, line), "were two files joined without a newline between them?")
		}
		line += bytes.Count(data[start:end], []byte("\n"))
		at = end
	}
}

// beside lists the types of blocks that files of certificates also hold, and that say
// nothing about the certificates.
var beside = []string{"EC PARAMETERS", "DSA PARAMETERS", "DH PARAMETERS", "X9.42 DH PARAMETERS", "PUBLIC KEY", "CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"}

// isKey reports whether a block holds a private key.
func (b *block) isKey() bool { return strings.HasSuffix(b.Type, "PRIVATE KEY") }
