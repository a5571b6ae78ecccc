package remote

import (
	"bytes"
	"context"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/loader/kerneltest"
	"github.com/superbpf/superbpf/traffic/testbed"
)

// start runs a server on the loopback.
func start(t *testing.T, send func(context.Context, Request) (Reply, error)) (*Server, string) {
	t.Helper()
	s, err := NewServer(send)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s, l.Addr().String()
}

var some = Request{Packets: [][]byte{make([]byte, 60)}, Mpps: 1, Millis: 10}

func TestOnlyTheKeyOpens(t *testing.T) {
	calls := 0
	send := func(_ context.Context, r Request) (Reply, error) { calls++; return Reply{Sent: 7, Mpps: r.Mpps}, nil }
	s, addr := start(t, send)
	other, err := NewServer(send)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ParseKey(s.Key.String())
	if err != nil || key != s.Key {
		t.Fatalf("a key does not survive its text form: %v", err)
	}
	got, err := NewClient(addr, key, nil).Send(context.Background(), some)
	if err != nil || got.Sent != 7 {
		t.Errorf("%+v, %v", got, err)
	}
	wrongToken, wrongServer := s.Key, other.Key
	wrongToken.token[0]++
	for name, c := range map[string]struct {
		key  Key
		want string
	}{
		"another token":  {wrongToken, "wrong key"},
		"another server": {wrongServer, "not the one"},
	} {
		if _, err := NewClient(addr, c.key, nil).Send(context.Background(), some); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if calls != 1 {
		t.Errorf("%d requests were served", calls)
	}
	for _, bad := range []string{"", "x", s.Key.String()[1:]} {
		if _, err := ParseKey(bad); err == nil {
			t.Errorf("%q is a key", bad)
		}
	}
}

func TestRequestsAreBounded(t *testing.T) {
	for name, r := range map[string]Request{
		"no packets": {Millis: 1},
		"too long":   {Packets: some.Packets, Millis: maxMillis + 1},
		"no time":    {Packets: some.Packets},
		"short":      {Packets: [][]byte{{1}}, Millis: 1},
		"rate":       {Packets: some.Packets, Millis: 1, Mpps: -1},
	} {
		if r.check() == nil {
			t.Errorf("%s is allowed", name)
		}
	}
}

// A sender stops when the client goes away.
func TestClientGoesAway(t *testing.T) {
	began, ended := make(chan bool), make(chan bool)
	s, addr := start(t, func(ctx context.Context, _ Request) (Reply, error) {
		began <- true
		<-ctx.Done()
		ended <- true
		return Reply{}, ctx.Err()
	})
	ctx, cancel := context.WithCancel(context.Background())
	go NewClient(addr, s.Key, nil).Send(ctx, some)
	<-began
	if _, err := NewClient(addr, s.Key, nil).Send(context.Background(), some); err == nil || !strings.Contains(err.Error(), "busy") {
		t.Errorf("a second client: %v", err)
	}
	cancel()
	<-ended
}

// hosts are two namespaces: one pair of interfaces for control, one for the packets.
func hosts(t *testing.T) (gen, dut *testbed.Namespace, listener net.Listener) {
	t.Helper()
	kerneltest.Require(t)
	gen, err := testbed.NewNamespace()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { gen.Close() })
	dut, err = testbed.NewNamespace()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dut.Close() })
	var there *os.File
	if err := dut.Do(func() (err error) { there, err = os.Open("/proc/thread-self/ns/net"); return err }); err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	up := func(name, cidr string) error {
		l, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		if cidr != "" {
			a, err := netlink.ParseAddr(cidr)
			if err != nil {
				return err
			}
			if err := netlink.AddrAdd(l, a); err != nil {
				return err
			}
		}
		return netlink.LinkSetUp(l)
	}
	err = gen.Do(func() error {
		for _, name := range []string{"control", "data"} {
			attrs := netlink.NewLinkAttrs()
			attrs.Name = name
			if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: name, PeerNamespace: netlink.NsFd(int(there.Fd()))}); err != nil {
				return err
			}
		}
		if err := up("control", "10.9.0.1/24"); err != nil {
			return err
		}
		if err := up("data", ""); err != nil {
			return err
		}
		listener, err = net.Listen("tcp4", "10.9.0.1:7470")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := dut.Do(func() error {
		if err := up("control", "10.9.0.2/24"); err != nil {
			return err
		}
		return up("data", "")
	}); err != nil {
		t.Fatal(err)
	}
	return gen, dut, listener
}

// Two hosts: the driver of a plain interface without a program takes no live
// frames, and one with a program does.
func TestTwoHosts(t *testing.T) {
	for _, want := range []string{ByPacketSocket, ByLiveFrames} {
		t.Run(want, func(t *testing.T) { twoHosts(t, want) })
	}
}

func twoHosts(t *testing.T, want string) {
	gen, dut, listener := hosts(t)
	if want == ByLiveFrames {
		seen, err := loader.LoadRaw(kerneltest.XDP, kerneltest.Insns(kerneltest.Mov(0, 1), kerneltest.Exit), loader.RawOptions{Name: "receiver"})
		if err != nil {
			t.Fatal(err)
		}
		defer seen.Close()
		at, err := dut.Attach("data", seen.FD(), loader.XDPNative)
		if err != nil {
			t.Fatal(err)
		}
		defer at.Close()
	}
	s, err := NewServer(func(ctx context.Context, r Request) (reply Reply, err error) {
		err = gen.Do(func() error { reply, err = Send(ctx, "data", r); return err })
		return reply, err
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Serve(ctx, listener) }()
	c := NewClient("10.9.0.1:7470", s.Key, func(_ context.Context, network, addr string) (conn net.Conn, err error) {
		err = dut.Do(func() error { conn, err = net.Dial("tcp4", addr); return err })
		return conn, err
	})
	count := func() (n uint64) {
		if err := dut.Do(func() error {
			k, err := testbed.ReadCounters("data")
			n = k.RxPackets
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := count()
	reply, err := c.Send(context.Background(), Request{Packets: [][]byte{make([]byte, 60), make([]byte, 200)}, Mpps: 0.02, Millis: 200})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", reply)
	if got := count() - before; reply.Sent == 0 || got < reply.Sent {
		t.Errorf("%d packets were sent, %d arrived", reply.Sent, got)
	}
	if reply.By != want || (reply.Note != "") != (want == ByPacketSocket) {
		t.Errorf("sent by %q (%s), want %q", reply.By, reply.Note, want)
	}
	if reply.Mpps > 0.021 {
		t.Errorf("offered %.4f Mpps instead of 0.02", reply.Mpps)
	}
	c.Close()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Live frames carry the request's packets, each whole, in turn.
func TestLiveFramesCarryThePackets(t *testing.T) {
	gen, dut, listener := hosts(t)
	listener.Close()
	var packets [][]byte
	for i, n := range []int{14, 60, 61, 300, 1500, 3400} {
		p := make([]byte, n)
		for k := range p {
			p[k] = byte(k*7 + i)
		}
		packets = append(packets, p)
	}
	seen, err := loader.LoadRaw(kerneltest.XDP, kerneltest.Insns(kerneltest.Mov(0, 2), kerneltest.Exit), loader.RawOptions{Name: "pass"})
	if err != nil {
		t.Fatal(err)
	}
	defer seen.Close()
	for _, ns := range []*testbed.Namespace{gen, dut} {
		if err := ns.Do(func() error {
			l, err := netlink.LinkByName("data")
			if err != nil {
				return err
			}
			return netlink.LinkSetMTU(l, 3400)
		}); err != nil {
			t.Fatal(err)
		}
	}
	at, err := dut.Attach("data", seen.FD(), loader.XDPNative)
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	fd := -1
	if err := dut.Do(func() error {
		const all = 0x0300 // ETH_P_ALL in network order
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, all); err != nil {
			return err
		}
		i, err := net.InterfaceByName("data")
		if err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: i.Index})
	}); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	var reply Reply
	if err := gen.Do(func() error {
		reply, err = OnLiveFrames(context.Background(), "data", Request{Packets: packets, Mpps: 0.001, Millis: 60})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", reply)
	count := make([]int, len(packets))
	buf := make([]byte, 4096)
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err != nil {
			break
		}
		known := false
		for i, p := range packets {
			if bytes.Equal(p, buf[:n]) {
				count[i]++
				known = true
			}
		}
		if !known && n > 0 && n != 42 && buf[0] != 0x33 && buf[0] != 0xff { // not the kernel's own
			t.Errorf("a packet of %d bytes that is none of the request's: %x", n, buf[:min(n, 32)])
		}
	}
	for i, n := range count {
		if n < 5 {
			t.Errorf("the packet of %d bytes came %d times: %v", len(packets[i]), n, count)
		}
	}
}
