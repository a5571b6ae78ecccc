package traffic

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/superbpf/superbpf/traffic/profile"
)

// Generate makes n packets of a profile. The same profile and seed give the same
// packets.
func Generate(p *profile.Profile, seed uint64, n int) ([][]byte, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	sizes, err := profile.ParseSizes(p.Sizes)
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(seed, 0xb01d))
	kinds := make([]float64, len(p.Packets))
	for i, k := range p.Packets {
		kinds[i] = k.Weight
		if k.Weight == 0 {
			kinds[i] = 1
		}
	}
	lengths := make([]float64, len(sizes))
	for i, s := range sizes {
		lengths[i] = s.Weight
	}
	out := make([][]byte, n)
	for i := range out {
		kind := draw(kinds, rng)
		flow := rng.IntN(max(p.Flows, 1))
		size := sizes[draw(lengths, rng)].Bytes
		if s := p.Packets[kind].Size; s != 0 {
			size = s
		}
		// Addresses and ports depend on the flow alone.
		of := rand.New(rand.NewPCG(seed, uint64(kind)<<32|uint64(flow)))
		if out[i], err = frame(&p.Packets[kind], of, size); err != nil {
			return nil, fmt.Errorf("traffic profile %q: packet %q: %w", p.Name, p.Packets[kind].Name, err)
		}
	}
	return out, nil
}

// draw returns an index with probability by weight.
func draw(weights []float64, rng *rand.Rand) int {
	sum := 0.0
	for _, w := range weights {
		sum += w
	}
	x := rng.Float64() * sum
	for i, w := range weights {
		if x -= w; x < 0 {
			return i
		}
	}
	return len(weights) - 1
}

var serialize = gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}

// frame builds one packet of the given length; shorter than the headers means
// as short as they allow.
func frame(p *profile.Packet, rng *rand.Rand, size int) ([]byte, error) {
	if p.Raw != "" {
		return profile.ParseHex(p.Raw)
	}
	stack, err := stackOf(p, rng, true)
	if err != nil {
		return nil, err
	}
	payload, err := profile.ParseHex(innermost(p).Payload)
	if err != nil {
		return nil, err
	}
	buf := gopacket.NewSerializeBuffer()
	emit := func() error {
		return gopacket.SerializeLayers(buf, serialize, append(stack[:len(stack):len(stack)], gopacket.Payload(payload))...)
	}
	if err := emit(); err != nil {
		return nil, err
	}
	if more := size - len(buf.Bytes()); more > 0 {
		payload = append(payload, make([]byte, more)...)
		if err := emit(); err != nil {
			return nil, err
		}
	}
	return append([]byte(nil), buf.Bytes()...), nil
}

func innermost(p *profile.Packet) *profile.Packet {
	for p.Inner != nil {
		p = p.Inner
	}
	return p
}

// stackOf lists the headers of a packet, outermost first.
func stackOf(p *profile.Packet, rng *rand.Rand, ethernet bool) ([]gopacket.SerializableLayer, error) {
	var stack []gopacket.SerializableLayer
	inner := layers.EthernetType(p.EtherType)
	switch p.L3 {
	case "ipv4":
		inner = layers.EthernetTypeIPv4
	case "ipv6":
		inner = layers.EthernetTypeIPv6
	case "arp":
		inner = layers.EthernetTypeARP
	}
	if ethernet {
		eth, err := etherHeader(p)
		if err != nil {
			return nil, err
		}
		eth.EthernetType = inner
		stack = append(stack, eth)
		for i, tag := range p.VLAN {
			d := &layers.Dot1Q{VLANIdentifier: tag & 0xfff, Priority: uint8(tag >> 13), Type: inner}
			if i+1 < len(p.VLAN) {
				d.Type = layers.EthernetTypeDot1Q
			}
			eth.EthernetType = layers.EthernetTypeDot1Q
			if len(p.VLAN) > 1 {
				eth.EthernetType = layers.EthernetTypeQinQ
			}
			stack = append(stack, d)
		}
	}
	src, err := address(p.Src, p.L3 == "ipv6", rng)
	if err != nil {
		return nil, err
	}
	dst, err := address(p.Dst, p.L3 == "ipv6", rng)
	if err != nil {
		return nil, err
	}
	ttl := p.TTL
	if ttl == 0 {
		ttl = 64
	}
	var ip gopacket.NetworkLayer
	proto := protocol(p)
	switch p.L3 {
	case "arp":
		arp := &layers.ARP{AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4,
			Operation: layers.ARPRequest, SourceHwAddress: net.HardwareAddr{2, 0, 0, 0, 0, 1}, SourceProtAddress: src, DstHwAddress: make([]byte, 6), DstProtAddress: dst}
		return append(stack, arp), nil
	case "ipv4":
		h := &layers.IPv4{Version: 4, IHL: 5, TTL: ttl, TOS: p.TOS, Protocol: proto, SrcIP: src, DstIP: dst, FragOffset: p.Fragment}
		if p.More {
			h.Flags |= layers.IPv4MoreFragments
		}
		if p.Options {
			h.Options = []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}} // router alert
		}
		ip, stack = h, append(stack, h)
	case "ipv6":
		h := &layers.IPv6{Version: 6, HopLimit: ttl, TrafficClass: p.TOS, NextHeader: proto, SrcIP: src, DstIP: dst}
		ip, stack = h, append(stack, h)
		// Extension headers as bytes: next header, length, padding option.
		if p.Options {
			h.NextHeader = layers.IPProtocolIPv6Destination
			stack = append(stack, gopacket.Payload{byte(proto), 0, 1, 4, 0, 0, 0, 0})
		} else if p.Fragment != 0 || p.More {
			h.NextHeader = layers.IPProtocolIPv6Fragment
			off := p.Fragment << 3
			if p.More {
				off |= 1
			}
			stack = append(stack, gopacket.Payload{byte(proto), 0, byte(off >> 8), byte(off), 0, 0, 0, 1})
		}
	default:
		return stack, nil
	}
	more, err := transport(p, rng, ip)
	return append(stack, more...), err
}

// protocol returns the IP protocol number of the packet's layer 4.
func protocol(p *profile.Packet) layers.IPProtocol {
	switch p.L4 {
	case "":
		return layers.IPProtocolNoNextHeader
	case "tcp":
		return layers.IPProtocolTCP
	case "udp", "vxlan":
		return layers.IPProtocolUDP
	case "gre":
		return layers.IPProtocolGRE
	case "icmp":
		if p.L3 == "ipv6" {
			return layers.IPProtocolICMPv6
		}
		return layers.IPProtocolICMPv4
	case "ipip":
		if p.Inner.L3 == "ipv6" {
			return layers.IPProtocolIPv6
		}
		return layers.IPProtocolIPv4
	}
	n, _ := strconv.ParseUint(p.L4, 0, 8) // Check has seen it
	return layers.IPProtocol(n)
}

// transport lists the headers after the IP header.
func transport(p *profile.Packet, rng *rand.Rand, ip gopacket.NetworkLayer) ([]gopacket.SerializableLayer, error) {
	sport, err := port(p.SrcPort, rng)
	if err != nil {
		return nil, err
	}
	dport, err := port(p.DstPort, rng)
	if err != nil {
		return nil, err
	}
	switch p.L4 {
	case "tcp":
		t := &layers.TCP{SrcPort: layers.TCPPort(sport), DstPort: layers.TCPPort(dport), Seq: 1, Window: 65535}
		flags := p.Flags
		if flags == "" {
			flags = "A"
		}
		has := func(f string) bool { return strings.Contains(flags, f) }
		t.SYN, t.ACK, t.FIN, t.RST, t.PSH, t.URG = has("S"), has("A"), has("F"), has("R"), has("P"), has("U")
		return []gopacket.SerializableLayer{t}, t.SetNetworkLayerForChecksum(ip)
	case "udp", "vxlan":
		u := &layers.UDP{SrcPort: layers.UDPPort(sport), DstPort: layers.UDPPort(dport)}
		if p.L4 == "vxlan" && p.DstPort == "" {
			u.DstPort = 4789
		}
		list := []gopacket.SerializableLayer{u}
		if err := u.SetNetworkLayerForChecksum(ip); err != nil || p.L4 == "udp" {
			return list, err
		}
		inner, err := stackOf(p.Inner, rng, true)
		return append(append(list, &layers.VXLAN{ValidIDFlag: true, VNI: 1}), inner...), err
	case "icmp":
		if p.L3 == "ipv6" {
			i := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(p.ICMPType, p.ICMPCode)}
			return []gopacket.SerializableLayer{i}, i.SetNetworkLayerForChecksum(ip)
		}
		return []gopacket.SerializableLayer{&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(p.ICMPType, p.ICMPCode), Id: sport, Seq: 1}}, nil
	case "gre":
		g := &layers.GRE{Protocol: layers.EthernetTypeIPv4}
		if p.Inner.L3 == "ipv6" {
			g.Protocol = layers.EthernetTypeIPv6
		}
		inner, err := stackOf(p.Inner, rng, false)
		return append([]gopacket.SerializableLayer{g}, inner...), err
	case "ipip":
		return stackOf(p.Inner, rng, false)
	}
	return nil, nil
}

func etherHeader(p *profile.Packet) (*layers.Ethernet, error) {
	eth := &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}}
	for _, m := range []struct {
		text string
		to   *net.HardwareAddr
	}{{p.SrcMAC, &eth.SrcMAC}, {p.DstMAC, &eth.DstMAC}} {
		if m.text == "" {
			continue
		}
		a, err := net.ParseMAC(m.text)
		if err != nil || len(a) != 6 {
			return nil, fmt.Errorf("MAC address %q", m.text)
		}
		*m.to = a
	}
	return eth, nil
}

// address draws an address from a prefix.
func address(s string, v6 bool, rng *rand.Rand) (net.IP, error) {
	prefix, err := profile.ParsePrefix(s, v6)
	if err != nil {
		return nil, err
	}
	a := prefix.Addr().AsSlice()
	for i := range a {
		free := 8 - min(max(prefix.Bits()-8*i, 0), 8)
		a[i] = a[i]&^(1<<free-1) | byte(rng.Uint32())&(1<<free-1)
	}
	addr, _ := netip.AddrFromSlice(a)
	return addr.AsSlice(), nil
}

func port(s string, rng *rand.Rand) (uint16, error) {
	low, high, err := profile.ParsePorts(s)
	return low + uint16(rng.IntN(int(high)-int(low)+1)), err
}
