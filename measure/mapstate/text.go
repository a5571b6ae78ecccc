package mapstate

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Cookie is a place in a key or value that holds the cookie of one of the
// sockets that a measurement makes, which is known only then.
type Cookie struct {
	Offset int // in bytes; the cookie takes 8
	Socket int // 0 the first
}

// maxPad bounds the zeros that pad stands for, in bytes.
const maxPad = 64 << 10

// Encode turns the text form of a key or value into bytes.
func Encode(text string) (out []byte, cookies []Cookie, err error) {
	for _, f := range strings.Fields(text) {
		kind, v, ok := strings.Cut(f, ":")
		if !ok {
			return nil, nil, fmt.Errorf("%q: want kind:value", f)
		}
		var socket int
		if out, socket, err = field(out, kind, v); err != nil {
			return nil, nil, fmt.Errorf("%q: %w", f, err)
		}
		if kind == "cookie" {
			cookies = append(cookies, Cookie{len(out) - 8, socket})
		}
	}
	return out, cookies, nil
}

// width is the number of bits of the numeric kinds.
var width = map[string]int{"u8": 8, "u16": 16, "u32": 32, "u64": 64, "be16": 16, "be32": 32, "be64": 64, "pad": 32, "cookie": 8}

// field appends one field; socket is the number of a cookie's.
func field(out []byte, kind, v string) (_ []byte, socket int, err error) {
	le, be := binary.LittleEndian, binary.BigEndian
	if bits, ok := width[kind]; ok {
		n, err := strconv.ParseUint(v, 0, bits)
		if s, serr := strconv.ParseInt(v, 0, bits); err != nil && serr == nil {
			n, err = uint64(s), nil // a negative number
		}
		if err != nil {
			return nil, 0, err
		}
		switch kind {
		case "u8":
			return append(out, byte(n)), 0, nil
		case "u16":
			return le.AppendUint16(out, uint16(n)), 0, nil
		case "u32":
			return le.AppendUint32(out, uint32(n)), 0, nil
		case "u64":
			return le.AppendUint64(out, n), 0, nil
		case "be16":
			return be.AppendUint16(out, uint16(n)), 0, nil
		case "be32":
			return be.AppendUint32(out, uint32(n)), 0, nil
		case "be64":
			return be.AppendUint64(out, n), 0, nil
		case "cookie":
			return append(out, make([]byte, 8)...), int(n), nil
		}
		if n > maxPad {
			return nil, 0, fmt.Errorf("more than %d", maxPad)
		}
		return append(out, make([]byte, n)...), 0, nil
	}
	switch kind {
	case "ip":
		a, err := netip.ParseAddr(v)
		return append(out, a.AsSlice()...), 0, err
	case "mac":
		a, err := net.ParseMAC(v)
		return append(out, a...), 0, err
	case "hex":
		b, err := hex.DecodeString(v)
		return append(out, b...), 0, err
	}
	return nil, 0, errors.New("unknown kind: want u8 u16 u32 u64 be16 be32 be64 ip mac pad hex or cookie")
}
