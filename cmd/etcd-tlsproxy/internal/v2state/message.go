package v2state

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
)

// message is a decoded message of protobuf. A field that is repeated has its last value.
type message struct {
	numbers map[protowire.Number]uint64
	bytes   map[protowire.Number][]byte
}

var (
	errMessage = errors.New("it is not a valid message of protobuf")
	errContext = errors.New("the change of the membership is not valid JSON")
)

// decode decodes the numbers and the bytes of a message, without copying these.
func (m *message) decode(data []byte) error {
	m.numbers, m.bytes = map[protowire.Number]uint64{}, map[protowire.Number][]byte{}
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return errMessage
		}
		data = data[n:]
		switch kind {
		case protowire.VarintType:
			m.numbers[number], n = protowire.ConsumeVarint(data)
		case protowire.BytesType:
			m.bytes[number], n = protowire.ConsumeBytes(data)
		default:
			n = protowire.ConsumeFieldValue(number, kind, data)
		}
		if n < 0 {
			return errMessage
		}
		data = data[n:]
	}
	return nil
}
