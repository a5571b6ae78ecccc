package traffic

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"github.com/superbpf/superbpf/traffic/profile"
)

// Fuzzer makes packets that reach into a program's corners: valid ones with
// random fields, tunnels, tags, extension headers and fragments, cut short at
// every length, with bytes changed and constants of the program put in.
type Fuzzer struct {
	Seed uint64
	// Corpus are packets to start from, a profile's or a capture's; may be empty.
	Corpus [][]byte
	// Dict are numbers that the program compares with: ports, protocols,
	// addresses, magic values.
	Dict []uint64
}

// Lengths of the packets made, in bytes: the least that the kernel runs a
// program on, and a full Ethernet frame without FCS.
const (
	MinPacket = 14
	MaxPacket = 1514
)

// Packets makes n packets.
func (f Fuzzer) Packets(n int) [][]byte {
	rng := rand.New(rand.NewPCG(f.Seed, 0xf022))
	out := make([][]byte, n)
	for i := range out {
		out[i] = f.packet(rng)
	}
	return out
}

func (f Fuzzer) packet(rng *rand.Rand) []byte {
	var b []byte
	if len(f.Corpus) > 0 && rng.IntN(2) == 0 {
		b = append([]byte(nil), f.Corpus[rng.IntN(len(f.Corpus))]...)
	} else {
		b = structured(rng)
	}
	switch rng.IntN(10) {
	case 0, 1, 2, 3: // as it is
	case 4: // cut anywhere
		b = b[:rng.IntN(len(b)+1)]
	case 5: // cut in the headers
		b = b[:min(len(b), MinPacket+rng.IntN(70))]
	default:
		for range 1 + rng.IntN(4) {
			f.mutate(b, rng)
		}
	}
	if len(b) > MaxPacket {
		b = b[:MaxPacket]
	}
	for len(b) < MinPacket {
		b = append(b, byte(rng.Uint32()))
	}
	return b
}

// mutate changes one place, in the headers for the most part.
func (f Fuzzer) mutate(b []byte, rng *rand.Rand) {
	if len(b) == 0 {
		return
	}
	reach := len(b)
	if rng.IntN(4) != 0 {
		reach = min(reach, 80)
	}
	at := rng.IntN(reach)
	switch rng.IntN(5) {
	case 0:
		b[at] ^= 1 << rng.IntN(8)
	case 1:
		b[at] = byte(rng.Uint32())
	case 2:
		b[at] = []byte{0, 1, 0x7f, 0x80, 0xff, 4, 5, 6, 17, 0x45, 0x60}[rng.IntN(11)]
	case 3: // two places become alike, as in land attacks
		n := []int{1, 2, 4, 6}[rng.IntN(4)]
		from := rng.IntN(reach)
		if at+n <= len(b) && from+n <= len(b) {
			copy(b[at:at+n], b[from:from+n])
		}
	case 4:
		if len(f.Dict) == 0 {
			return
		}
		v := f.Dict[rng.IntN(len(f.Dict))]
		if rng.IntN(8) == 0 {
			v += uint64(rng.IntN(3)) - 1 // just beside it
		}
		var w [8]byte
		n := []int{1, 2, 4, 8}[rng.IntN(4)]
		if rng.IntN(2) == 0 {
			binary.LittleEndian.PutUint64(w[:], v)
			copy(b[at:], w[:n])
		} else {
			binary.BigEndian.PutUint64(w[:], v)
			copy(b[at:], w[8-n:])
		}
	}
}

// structured makes a well-formed packet of random kind.
func structured(rng *rand.Rand) []byte {
	if rng.IntN(40) == 0 {
		b := make([]byte, MinPacket+rng.IntN(MaxPacket-MinPacket+1))
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	p := randomPacket(rng, 0)
	size := 0
	switch rng.IntN(8) {
	case 0:
		size = []int{60, 64, 128, 256, 512, 1024, 1280, 1500, 1514}[rng.IntN(9)]
	case 1, 2:
		size = MinPacket + rng.IntN(200)
	case 3:
		size = MinPacket + rng.IntN(MaxPacket-MinPacket+1)
	}
	b, err := frame(p, rng, size)
	if err != nil {
		// Every random packet is one that profile.Packet allows.
		panic(fmt.Sprintf("traffic: %+v: %v", p, err))
	}
	return b
}

func randomPacket(rng *rand.Rand, depth int) *profile.Packet {
	one := func(in int) bool { return rng.IntN(in) == 0 }
	p := &profile.Packet{TOS: uint8(rng.Uint32()), TTL: uint8(rng.Uint32())}
	if one(3) {
		p.TOS, p.TTL = 0, 64
	}
	for depth == 0 && one(6) && len(p.VLAN) < 3 {
		p.VLAN = append(p.VLAN, uint16(rng.Uint32()))
	}
	switch {
	case depth == 0 && one(20):
		p.L3 = "arp"
		return p
	case depth == 0 && one(20):
		p.EtherType = []uint16{0x88cc, 0x8847, 0x8863, 0x0806, 0x86dd, 0x0800, 0, uint16(rng.Uint32())}[rng.IntN(8)]
		return p
	case one(3):
		p.L3, p.Src, p.Dst = "ipv6", "::/0", "::/0"
		if one(2) {
			p.Dst = "fd00::/120"
		}
	default:
		p.L3, p.Src, p.Dst = "ipv4", "0.0.0.0/0", "0.0.0.0/0"
		if one(2) {
			p.Dst = "10.0.0.0/28"
		}
	}
	p.Options, p.More = one(10), one(15)
	if one(15) {
		p.Fragment = uint16(rng.Uint32()) & 0x1fff
	}
	p.SrcPort, p.DstPort = "0-65535", "0-65535"
	if one(2) {
		p.DstPort = []string{"22", "53", "80", "443", "1", "65535", "8080", "4789"}[rng.IntN(8)]
	}
	switch rng.IntN(10) {
	case 0, 1, 2, 3:
		p.L4 = "tcp"
		for _, f := range "SAFRPU" {
			if one(2) {
				p.Flags += string(f)
			}
		}
	case 4, 5, 6:
		p.L4 = "udp"
	case 7:
		p.L4, p.ICMPType, p.ICMPCode = "icmp", []uint8{0, 3, 8, 11, 128, 129, 135, uint8(rng.Uint32())}[rng.IntN(8)], uint8(rng.IntN(6))
	case 8:
		p.L4 = fmt.Sprint(rng.IntN(256))
	case 9:
		if depth >= 2 {
			p.L4 = "udp"
			break
		}
		p.L4, p.Inner = []string{"gre", "ipip", "vxlan"}[rng.IntN(3)], randomPacket(rng, depth+1)
	}
	if one(3) {
		p.Payload = fmt.Sprintf("%x", rng.Uint64())
		if len(p.Payload)%2 == 1 {
			p.Payload = "0" + p.Payload
		}
	}
	return p
}
