// Package profile describes traffic as data: what packets there are, how often,
// how long, and in how many flows. It is read from YAML and knows nothing of
// bytes; package traffic builds the packets.
//
// Invariant: a profile that Check accepts can be built.
package profile

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Profile is a mix of packets.
type Profile struct {
	Name string `yaml:"name"`
	// Flows is the number of distinct flows, 1 if zero. Ranges of addresses and
	// ports below are drawn anew for each flow.
	Flows int `yaml:"flows"`
	// Sizes is the mix of frame lengths in bytes without FCS: "64",
	// "64,512*3,1500" (weights after *), "imix", or "min" for as short as the
	// headers allow. Empty means "min".
	Sizes   string   `yaml:"sizes"`
	Packets []Packet `yaml:"packets"`
}

// Packet is one kind of packet, from the outside in.
type Packet struct {
	Name   string  `yaml:"name"`
	Weight float64 `yaml:"weight"` // 1 if zero

	SrcMAC string   `yaml:"src_mac"` // 02:00:00:00:00:01 if empty
	DstMAC string   `yaml:"dst_mac"` // 02:00:00:00:00:02 if empty
	VLAN   []uint16 `yaml:"vlan"`    // tags, outermost first
	// EtherType is for frames whose payload is not described below.
	EtherType uint16 `yaml:"ethertype"`

	// L3 is "ipv4", "ipv6", "arp" or empty for none.
	L3 string `yaml:"l3"`
	// Src and Dst are an address or a prefix to draw from.
	Src string `yaml:"src"`
	Dst string `yaml:"dst"`
	TTL uint8  `yaml:"ttl"` // 64 if zero
	TOS uint8  `yaml:"tos"`
	// Options adds IPv4 options, or an IPv6 hop-by-hop header.
	Options bool `yaml:"options"`
	// Fragment is the fragment offset in 8-byte units; More the flag.
	Fragment uint16 `yaml:"fragment"`
	More     bool   `yaml:"more_fragments"`

	// L4 is "tcp", "udp", "icmp", "gre", "ipip", "vxlan", a protocol number, or
	// empty for none.
	L4 string `yaml:"l4"`
	// SrcPort and DstPort are a number or a range "1024-65535".
	SrcPort string `yaml:"src_port"`
	DstPort string `yaml:"dst_port"`
	// Flags are TCP flags by letter: S, A, F, R, P, U. Empty means A.
	Flags string `yaml:"flags"`
	// ICMP type and code.
	ICMPType uint8 `yaml:"icmp_type"`
	ICMPCode uint8 `yaml:"icmp_code"`

	// Payload is hex; the frame is filled up with zeros to its length.
	Payload string `yaml:"payload"`
	// Inner is the packet inside a tunnel (gre, ipip, vxlan).
	Inner *Packet `yaml:"inner"`
	// Raw is the whole frame in hex and excludes all the rest.
	Raw string `yaml:"raw"`
	// Size overrides the profile's sizes for this kind.
	Size int `yaml:"size"`
}

// Parse reads a profile from YAML and checks it.
func Parse(text []byte) (*Profile, error) {
	p := new(Profile)
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(p); err != nil {
		return nil, fmt.Errorf("traffic profile: %w", err)
	}
	if err := p.Check(); err != nil {
		return nil, err
	}
	return p, nil
}

// Check says what is wrong with a profile.
func (p *Profile) Check() error {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("traffic profile %q: %s", p.Name, fmt.Sprintf(format, args...))
	}
	if len(p.Packets) == 0 {
		return wrong("no packets")
	}
	if p.Flows < 0 || p.Flows > 1<<20 {
		return wrong("%d flows, want 1 to %d", p.Flows, 1<<20)
	}
	if _, err := ParseSizes(p.Sizes); err != nil {
		return wrong("%v", err)
	}
	for i := range p.Packets {
		if err := p.Packets[i].check(0); err != nil {
			return wrong("packet %d (%s): %v", i+1, p.Packets[i].Name, err)
		}
	}
	return nil
}

const maxTunnels = 3

func (p *Packet) check(depth int) error {
	if depth > maxTunnels {
		return fmt.Errorf("more than %d tunnels", maxTunnels)
	}
	if p.Weight < 0 {
		return errors.New("negative weight")
	}
	if p.Size != 0 && (p.Size < 14 || p.Size > 9216) {
		return fmt.Errorf("size %d, want 14 to 9216", p.Size)
	}
	if !slices.Contains([]string{"", "ipv4", "ipv6", "arp"}, p.L3) {
		return fmt.Errorf("l3 %q, want ipv4, ipv6 or arp", p.L3)
	}
	if p.L4 != "" && p.L3 != "ipv4" && p.L3 != "ipv6" {
		return fmt.Errorf("l4 %q without ipv4 or ipv6", p.L4)
	}
	if !slices.Contains([]string{"", "tcp", "udp", "icmp", "gre", "ipip", "vxlan"}, p.L4) {
		if _, err := strconv.ParseUint(p.L4, 0, 8); err != nil {
			return fmt.Errorf("l4 %q is no known protocol and no number", p.L4)
		}
	}
	for _, a := range []string{p.Src, p.Dst} {
		if _, err := ParsePrefix(a, p.L3 == "ipv6"); err != nil {
			return err
		}
	}
	for _, r := range []string{p.SrcPort, p.DstPort} {
		if _, _, err := ParsePorts(r); err != nil {
			return err
		}
	}
	if strings.Trim(p.Flags, "SAFRPU") != "" {
		return fmt.Errorf("TCP flags %q, want letters of SAFRPU", p.Flags)
	}
	for _, h := range []string{p.Payload, p.Raw} {
		if _, err := ParseHex(h); err != nil {
			return err
		}
	}
	tunnel := p.L4 == "gre" || p.L4 == "ipip" || p.L4 == "vxlan"
	if tunnel != (p.Inner != nil) {
		return fmt.Errorf("l4 %q and an inner packet do not fit", p.L4)
	}
	if tunnel {
		return p.Inner.check(depth + 1)
	}
	return nil
}

// Size is a frame length in bytes and its weight. Zero bytes stand for as short
// as the headers allow.
type Size struct {
	Bytes  int
	Weight float64
}

// imix is the simple Internet mix, as Ethernet frames without FCS.
var imix = []Size{{60, 7}, {590, 4}, {1514, 1}}

// ParseSizes reads a mix of lengths: see Profile.Sizes.
func ParseSizes(s string) ([]Size, error) {
	switch s {
	case "", "min":
		return []Size{{0, 1}}, nil
	case "imix":
		return imix, nil
	}
	var out []Size
	for part := range strings.SplitSeq(s, ",") {
		n, w, weighted := strings.Cut(strings.TrimSpace(part), "*")
		size := Size{Weight: 1}
		var err error
		if size.Bytes, err = strconv.Atoi(n); err != nil || size.Bytes < 14 || size.Bytes > 9216 {
			return nil, fmt.Errorf("sizes: %q, want 14 to 9216", n)
		}
		if weighted {
			if size.Weight, err = strconv.ParseFloat(w, 64); err != nil || !(size.Weight > 0) {
				return nil, fmt.Errorf("sizes: weight %q", w)
			}
		}
		out = append(out, size)
	}
	return out, nil
}

// ParsePrefix reads an address or prefix; empty gives a private default.
func ParsePrefix(s string, v6 bool) (netip.Prefix, error) {
	if s == "" {
		if v6 {
			return netip.MustParsePrefix("fd00::/64"), nil
		}
		return netip.MustParsePrefix("10.0.0.0/8"), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		a, err2 := netip.ParseAddr(s)
		if err2 != nil {
			return p, fmt.Errorf("address %q: %w", s, err2)
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if p.Addr().Is6() != v6 {
		return p, fmt.Errorf("address %q is of the wrong family", s)
	}
	return p, nil
}

// ParsePorts reads a port or range; empty gives 1024 to 65535.
func ParsePorts(s string) (low, high uint16, err error) {
	if s == "" {
		return 1024, 65535, nil
	}
	a, b, ranged := strings.Cut(s, "-")
	if !ranged {
		b = a
	}
	l, err1 := strconv.ParseUint(a, 10, 16)
	h, err2 := strconv.ParseUint(b, 10, 16)
	if err1 != nil || err2 != nil || l > h {
		return 0, 0, fmt.Errorf("ports %q, want a number or a range", s)
	}
	return uint16(l), uint16(h), nil
}

// ParseHex reads bytes in hex; spaces between them are allowed.
func ParseHex(s string) ([]byte, error) {
	s = strings.Join(strings.Fields(s), "")
	b := make([]byte, 0, len(s)/2)
	if len(s)%2 != 0 {
		return nil, fmt.Errorf("hex of odd length: %q", s)
	}
	for i := 0; i < len(s); i += 2 {
		v, err := strconv.ParseUint(s[i:i+2], 16, 8)
		if err != nil {
			return nil, fmt.Errorf("hex %q", s[i:i+2])
		}
		b = append(b, byte(v))
	}
	return b, nil
}
