package traffic

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// Errors of reading captures.
var (
	// ErrTruncated comes with the packets before the place where the file ends,
	// as the capture of a tool that was killed does.
	ErrTruncated = errors.New("the capture ends in the middle of a packet")
	ErrNoCapture = errors.New("not a pcap or pcapng file")
	ErrLinkType  = errors.New("the capture's link type is not Ethernet or raw IP")
	ErrNoPackets = errors.New("the capture holds no packets")
)

// Limits bound what a capture file may make us hold. Zero values mean the
// defaults given.
type Limits struct {
	Packets int   // stop after this many (1,000,000)
	Bytes   int64 // of packets in all (256 MiB)
	Packet  int   // longest packet in bytes (65535); longer ones are an error
}

func (l *Limits) defaults() {
	if l.Packets <= 0 {
		l.Packets = 1_000_000
	}
	if l.Bytes <= 0 {
		l.Bytes = 256 << 20
	}
	if l.Packet <= 0 {
		l.Packet = 65535
	}
}

// ReadPCAPFile reads a pcap or pcapng file, which may be gzipped.
func ReadPCAPFile(name string, l Limits) ([][]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p, err := ReadPCAP(f, l)
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return p, err
}

type packetSource interface {
	ReadPacketData() ([]byte, gopacket.CaptureInfo, error)
	LinkType() layers.LinkType
}

// ReadPCAP reads a capture up to the limits. Raw IP packets get an Ethernet
// header. With ErrTruncated come the packets that were whole.
func ReadPCAP(r io.Reader, l Limits) (packets [][]byte, err error) {
	l.defaults()
	defer func() {
		// The library indexes what the file promised.
		if p := recover(); p != nil {
			packets, err = nil, fmt.Errorf("%w: %v", ErrNoCapture, p)
		}
	}()
	b := bufio.NewReader(r)
	magic, err := b.Peek(4)
	if err != nil {
		return nil, ErrNoCapture
	}
	if magic[0] == 0x1f && magic[1] == 0x8b {
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNoCapture, err)
		}
		b = bufio.NewReader(z)
		if magic, err = b.Peek(4); err != nil {
			return nil, ErrNoCapture
		}
	}
	var src packetSource
	if bytes.Equal(magic, ngMagic[:]) {
		src, err = pcapgo.NewNgReader(&ngGuard{r: b, limit: l.Packet}, pcapgo.NgReaderOptions{WantMixedLinkType: false})
	} else {
		var p *pcapgo.Reader
		if p, err = pcapgo.NewReader(b); err == nil {
			// What the header promises is not to be trusted in either
			// direction: 0, 1500 with longer packets, and 4 GiB all occur.
			p.SetSnaplen(uint32(l.Packet))
			src = p
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoCapture, err)
	}
	link := src.LinkType()
	switch link {
	case layers.LinkTypeEthernet, layers.LinkTypeRaw, layers.LinkTypeIPv4, layers.LinkTypeIPv6, 12, 14:
	default:
		return nil, fmt.Errorf("%w: %v", ErrLinkType, link)
	}
	var total int64
	for len(packets) < l.Packets {
		data, _, err := src.ReadPacketData()
		if errors.Is(err, io.EOF) && len(packets) == 0 {
			return nil, ErrNoPackets
		}
		if errors.Is(err, io.EOF) {
			return packets, nil
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return packets, fmt.Errorf("%w, after %d whole ones", ErrTruncated, len(packets))
		}
		if err != nil {
			return packets, fmt.Errorf("packet %d: %w", len(packets)+1, err)
		}
		if link != layers.LinkTypeEthernet {
			data = withEthernet(data)
		}
		if total += int64(len(data)); total > l.Bytes {
			return packets, nil
		}
		packets = append(packets, data)
	}
	return packets, nil
}

// withEthernet puts an Ethernet header before an IP packet.
func withEthernet(ip []byte) []byte {
	eth := []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x00}
	if len(ip) > 0 && ip[0]>>4 == 6 {
		eth[12], eth[13] = 0x86, 0xdd
	}
	return append(eth, ip...)
}

var ngMagic = [4]byte{0x0a, 0x0d, 0x0d, 0x0a}

// ngGuard passes a pcapng stream on block by block, after it has checked that
// the lengths in it make sense: the reader behind it allocates what a packet
// block says. See the pcapng draft, section 3.1 and 4.
type ngGuard struct {
	r       io.Reader
	limit   int // bytes of a packet
	order   binary.ByteOrder
	pending []byte
	err     error
}

func (g *ngGuard) Read(p []byte) (int, error) {
	if len(g.pending) == 0 && g.err == nil {
		g.pending, g.err = g.block()
	}
	if len(g.pending) == 0 {
		return 0, g.err
	}
	n := copy(p, g.pending)
	g.pending = g.pending[n:]
	return n, nil
}

const (
	ngSection        = 0x0a0d0d0a
	ngObsoletePacket = 2
	ngEnhancedPacket = 6
)

func (g *ngGuard) block() ([]byte, error) {
	head := make([]byte, 12)
	if n, err := io.ReadFull(g.r, head); err != nil {
		if n == 0 {
			return nil, io.EOF
		}
		return nil, io.ErrUnexpectedEOF
	}
	if bytes.Equal(head[:4], ngMagic[:]) {
		switch {
		case bytes.Equal(head[8:], []byte{0x4d, 0x3c, 0x2b, 0x1a}):
			g.order = binary.LittleEndian
		case bytes.Equal(head[8:], []byte{0x1a, 0x2b, 0x3c, 0x4d}):
			g.order = binary.BigEndian
		default:
			return nil, errors.New("pcapng: no byte order in the section header")
		}
	}
	if g.order == nil {
		return nil, errors.New("pcapng: no section header")
	}
	length := g.order.Uint32(head[4:])
	if length < 12 || length%4 != 0 || length > uint32(g.limit)+64<<10 {
		return nil, fmt.Errorf("pcapng: block of %d bytes", length)
	}
	b := make([]byte, length)
	copy(b, head)
	if _, err := io.ReadFull(g.r, b[12:]); err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	if tail := g.order.Uint32(b[length-4:]); tail != length {
		return nil, fmt.Errorf("pcapng: a block's lengths disagree: %d and %d", length, tail)
	}
	switch kind := g.order.Uint32(b); kind {
	case ngEnhancedPacket, ngObsoletePacket:
		if length < 32 {
			return nil, fmt.Errorf("pcapng: packet block of %d bytes", length)
		}
		if captured := g.order.Uint32(b[20:]); captured > length-32 || captured > uint32(g.limit) {
			return nil, fmt.Errorf("pcapng: packet of %d bytes in a block of %d", captured, length)
		}
	}
	return b, nil
}

// WritePCAP writes packets as a pcap file with Ethernet link type. Times count
// microseconds from zero, so that equal packets make equal files.
func WritePCAP(w io.Writer, packets [][]byte) error {
	p := pcapgo.NewWriter(w)
	if err := p.WriteFileHeader(65535, layers.LinkTypeEthernet); err != nil {
		return err
	}
	for i, b := range packets {
		ci := gopacket.CaptureInfo{Timestamp: time.UnixMicro(int64(i)), CaptureLength: len(b), Length: len(b)}
		if err := p.WritePacket(ci, b); err != nil {
			return fmt.Errorf("packet %d: %w", i+1, err)
		}
	}
	return nil
}
