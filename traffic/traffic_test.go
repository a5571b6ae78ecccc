package traffic

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/superbpf/superbpf/traffic/profile"
)

// Every profile in testdata builds, to packets that decode as what it says.
func TestProfiles(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.yaml")
	files = append(files, "default.yaml")
	if len(files) < 2 {
		t.Fatal("no profiles in testdata")
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		p, err := profile.Parse(text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		a, err := Generate(p, 1, 500)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		b, _ := Generate(p, 1, 500)
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%s: the same seed gives different packets", name)
		}
		flows := map[gopacket.Flow]bool{}
		for _, raw := range a {
			d := gopacket.NewPacket(raw, layers.LayerTypeEthernet, gopacket.Default)
			// Payloads are zeros, which DNS and ICMPv6 have no use for: not our
			// concern. The headers must decode.
			if d.ErrorLayer() != nil && len(d.Layers()) < 4 {
				t.Errorf("%s: % x: %v", name, raw, d.ErrorLayer().Error())
				break
			}
			if ip := d.NetworkLayer(); ip != nil {
				flows[ip.NetworkFlow()] = true
			}
		}
		if limit := max(p.Flows, 1) * len(p.Packets); len(flows) > limit {
			t.Errorf("%s: %d flows, want at most %d", name, len(flows), limit)
		}
	}
}

func TestBadProfiles(t *testing.T) {
	for _, text := range []string{
		"", "packets: []", "{packets: [{}], flows: -1}", "{packets: [{l3: ipx}]}", "{packets: [{l4: tcp}]}",
		"{packets: [{l3: ipv4, src: fd00::1}]}", "{packets: [{l3: ipv4, l4: tcp, src_port: 9-1}]}", "{packets: [{raw: abc}]}",
		"{packets: [{l3: ipv4, l4: gre}]}", "{packets: [{l3: ipv4, l4: udp, inner: {}}]}", "{packets: [{}], sizes: 64*0}",
		"{packets: [{}], sizes: huge}", "{packets: [{nonsense: 1}]}", "{packets: [{l3: ipv4, l4: tcp, flags: X}]}",
	} {
		if _, err := profile.Parse([]byte(text)); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

func TestPCAPRoundTrip(t *testing.T) {
	want := Fuzzer{Seed: 3}.Packets(300)
	var plain, zipped, ng bytes.Buffer
	if err := WritePCAP(&plain, want); err != nil {
		t.Fatal(err)
	}
	z := gzip.NewWriter(&zipped)
	z.Write(plain.Bytes())
	z.Close()
	w, err := pcapgo.NewNgWriter(&ng, layers.LinkTypeEthernet)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range want {
		if err := w.WritePacket(gopacket.CaptureInfo{CaptureLength: len(p), Length: len(p)}, p); err != nil {
			t.Fatal(err)
		}
	}
	w.Flush()
	for name, file := range map[string]*bytes.Buffer{"pcap": &plain, "gzip": &zipped, "pcapng": &ng} {
		raw := file.Bytes()
		got, err := ReadPCAP(bytes.NewReader(raw), Limits{})
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %d packets, %v", name, len(got), err)
		}
		if got, err := ReadPCAP(bytes.NewReader(raw), Limits{Packets: 7}); err != nil || len(got) != 7 {
			t.Errorf("%s with a limit: %d packets, %v", name, len(got), err)
		}
		if name == "gzip" {
			continue
		}
		// Cut anywhere: no panic, an error or fewer packets.
		for cut := 0; cut < min(len(raw), 3000); cut += 7 {
			got, err := ReadPCAP(bytes.NewReader(raw[:cut]), Limits{})
			if err == nil && len(got) == 0 {
				t.Fatalf("%s cut at %d: neither packets nor an error", name, cut)
			}
		}
		if got, err := ReadPCAP(bytes.NewReader(raw[:len(raw)-3]), Limits{}); !errors.Is(err, ErrTruncated) || len(got) != len(want)-1 {
			t.Errorf("%s cut at its end: %d packets, %v", name, len(got), err)
		}
	}
}

// Files that promise gigabytes are refused before memory is spent on them.
func TestHostileCaptures(t *testing.T) {
	header := func(snap, link uint32) []byte {
		b := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
		b = binary.LittleEndian.AppendUint16(b, 2)
		b = binary.LittleEndian.AppendUint16(b, 4)
		b = append(b, make([]byte, 8)...)
		return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(b, snap), link)
	}
	u32 := func(b []byte, vs ...uint32) []byte {
		for _, v := range vs {
			b = binary.LittleEndian.AppendUint32(b, v)
		}
		return b
	}
	section := u32(nil, 0x0a0d0d0a, 28, 0x1a2b3c4d, 1, 0xffffffff, 0xffffffff, 28)
	iface := u32(nil, 1, 20, 1, 0xffffffff, 20)
	for name, raw := range map[string][]byte{
		"empty":             nil,
		"text":              []byte("hello, world, this is no capture"),
		"ELF":               append([]byte("\x7fELF"), make([]byte, 60)...),
		"4 GiB packet":      u32(header(0xffffffff, 1), 0, 0, 0xfffffff0, 0xfffffff0),
		"longer than wire":  u32(header(65535, 1), 0, 0, 100, 50),
		"wireless":          u32(header(65535, 105), 0, 0, 0, 0),
		"ng: 4 GiB block":   u32(append(section, iface...), 6, 0xfffffffc, 0),
		"ng: 4 GiB packet":  u32(append(section, iface...), 6, 36, 0, 0, 0, 0xfffffff0, 0xfffffff0, 0, 36),
		"ng: tiny block":    u32(append(section, iface...), 6, 4, 0),
		"ng: lengths":       u32(append(section, iface...), 6, 36, 0, 0, 0, 4, 4, 0, 40),
		"ng: no byte order": u32(nil, 0x0a0d0d0a, 28, 7, 1, 0, 0, 28),
	} {
		if got, err := ReadPCAP(bytes.NewReader(raw), Limits{}); err == nil {
			t.Errorf("%s: %d packets and no error", name, len(got))
		}
	}
}

func FuzzReadPCAP(f *testing.F) {
	var b bytes.Buffer
	WritePCAP(&b, [][]byte{make([]byte, 60)})
	f.Add(b.Bytes())
	var ng bytes.Buffer
	w, _ := pcapgo.NewNgWriter(&ng, layers.LinkTypeEthernet)
	w.WritePacket(gopacket.CaptureInfo{CaptureLength: 14, Length: 14}, make([]byte, 14))
	w.Flush()
	f.Add(ng.Bytes())
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, _ := ReadPCAP(bytes.NewReader(raw), Limits{Packets: 100, Bytes: 1 << 20, Packet: 2000})
		for _, p := range got {
			if len(p) > 2014 {
				t.Errorf("packet of %d bytes", len(p))
			}
		}
	})
}

// The fuzzer's packets have lengths that the kernel takes, repeat by seed, and
// come in great variety.
func TestFuzzer(t *testing.T) {
	corpus, err := Generate(&profile.Profile{Packets: []profile.Packet{{L3: "ipv4", L4: "tcp"}}}, 1, 5)
	if err != nil {
		t.Fatal(err)
	}
	f := Fuzzer{Seed: 9, Corpus: corpus, Dict: []uint64{0xbeef}}
	a := f.Packets(5000)
	if !reflect.DeepEqual(a, f.Packets(5000)) {
		t.Error("the same seed gives different packets")
	}
	kinds, lengths, dict := map[string]int{}, map[int]bool{}, 0
	for _, p := range a {
		if len(p) < MinPacket || len(p) > MaxPacket {
			t.Fatalf("%d bytes", len(p))
		}
		lengths[len(p)] = true
		if bytes.Contains(p, []byte{0xbe, 0xef}) || bytes.Contains(p, []byte{0xef, 0xbe}) {
			dict++
		}
		kind := ""
		for _, l := range gopacket.NewPacket(p, layers.LayerTypeEthernet, gopacket.Default).Layers() {
			kind += fmt.Sprint(l.LayerType(), " ")
		}
		kinds[kind]++
	}
	if len(kinds) < 60 || len(lengths) < 300 || dict < 100 {
		t.Errorf("%d kinds, %d lengths, the dictionary in %d", len(kinds), len(lengths), dict)
	}
}

func TestDefaultIsOfUse(t *testing.T) {
	a, err := Default(1, 3000)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := Default(1, 3000)
	if !reflect.DeepEqual(a, b) {
		t.Error("the same seed gives different packets")
	}
	vip := 0
	for _, p := range a {
		if len(p) < MinPacket || len(p) > MaxPacket {
			t.Fatalf("%d bytes", len(p))
		}
		if len(p) >= 34 && bytes.Equal(p[30:34], []byte{10, 200, 1, 1}) {
			vip++
		}
	}
	if vip < 500 {
		t.Errorf("%d packets for the first service", vip)
	}
	if c := Contexts(1, 10, 20); len(c) != 10 || len(c[9]) != 20 {
		t.Error("contexts of the wrong number or size")
	}
}

func BenchmarkFuzzer(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	for b.Loop() {
		Fuzzer{}.packet(rng)
	}
}
