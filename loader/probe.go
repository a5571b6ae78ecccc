package loader

import (
	"bufio"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/features"
	"golang.org/x/sys/unix"
)

// Host is what a record needs to know about the machine, read from /proc and
// /sys without privilege.
type Host struct {
	Kernel string `json:"kernel"` // release
	Arch   string `json:"arch"`
	CPU    string `json:"cpu"` // model name
	CPUs   int    `json:"cpus"`
	// JIT is net.core.bpf_jit_enable, JITHarden net.core.bpf_jit_harden; -1 when
	// they cannot be read.
	JIT       int `json:"jit"`
	JITHarden int `json:"jit_harden"`
	// RunStats is kernel.bpf_stats_enabled, which slows every run.
	RunStats int `json:"run_stats"`
	// Mitigations of CPU faults by name, without those that do not apply.
	Mitigations map[string]string `json:"mitigations"`
	// Virtual names the hypervisor, empty on bare metal.
	Virtual string `json:"virtual,omitempty"`
	// Governor is the frequency governor, empty when there is none.
	Governor string `json:"governor,omitempty"`
}

// ProbeHost reads the facts about this machine.
func ProbeHost() Host {
	h := Host{
		Kernel:      Release(),
		Arch:        runtime.GOARCH,
		CPUs:        runtime.NumCPU(),
		JIT:         readInt("/proc/sys/net/core/bpf_jit_enable"),
		JITHarden:   readInt("/proc/sys/net/core/bpf_jit_harden"),
		RunStats:    readInt("/proc/sys/kernel/bpf_stats_enabled"),
		Governor:    readLine("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
		Virtual:     readLine("/sys/hypervisor/type"),
		Mitigations: map[string]string{},
	}
	if f, err := os.Open("/proc/cpuinfo"); err == nil {
		for s := bufio.NewScanner(f); s.Scan(); {
			name, value, _ := strings.Cut(s.Text(), ":")
			switch strings.TrimSpace(name) {
			case "model name":
				h.CPU = strings.TrimSpace(value)
			case "flags":
				if h.Virtual == "" && strings.Contains(value+" ", " hypervisor ") {
					h.Virtual = "yes"
				}
			}
		}
		f.Close()
	}
	files, _ := filepath.Glob("/sys/devices/system/cpu/vulnerabilities/*")
	for _, f := range files {
		if s := readLine(f); s != "" && s != "Not affected" {
			h.Mitigations[filepath.Base(f)] = s
		}
	}
	return h
}

func readLine(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	s, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimSpace(s)
}

func readInt(path string) int {
	n, err := strconv.Atoi(readLine(path))
	if err != nil {
		return -1
	}
	return n
}

// HasPMU reports whether the CPU's cycle counter can be read.
func HasPMU() bool {
	attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_HARDWARE, Config: unix.PERF_COUNT_HW_CPU_CYCLES}
	attr.Size = uint32(unsafe.Sizeof(attr))
	fd, err := unix.PerfEventOpen(&attr, 0, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return false
	}
	unix.Close(fd)
	return true
}

// Capability is one thing that the host can do, or why not.
type Capability struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	// Note says what was found, or what is missing with the remedy.
	Note string `json:"note,omitempty"`
}

// progTypeNames lists enum bpf_prog_type with the attach type that a plain
// program of the type must name.
var progTypeNames = []struct {
	kind, attach uint32
	name         string
}{
	{6, 0, "xdp"}, {3, 0, "sched_cls"}, {4, 0, "sched_act"}, {1, 0, "socket_filter"}, {8, 0, "cgroup_skb"},
	{22, 0, "flow_dissector"}, {10, 0, "lwt_in"}, {12, 0, "lwt_xmit"}, {32, 45, "netfilter"}, {17, 0, "raw_tracepoint"},
	{31, 0, "syscall"}, {5, 0, "tracepoint"}, {2, 0, "kprobe"}, {7, 0, "perf_event"}, {18, 19, "cgroup_sock_addr"},
	{13, 0, "sock_ops"}, {14, 0, "sk_skb"}, {16, 0, "sk_msg"}, {30, 36, "sk_lookup"}, {15, 0, "cgroup_device"},
}

// attachedTypes need something of the kernel's to attach to as they load; the
// library knows how to try them.
var attachedTypes = []struct {
	kind ebpf.ProgramType
	name string
}{{ebpf.Tracing, "tracing (fentry)"}, {ebpf.LSM, "lsm"}, {ebpf.StructOps, "struct_ops"}}

// ProbePrograms loads an empty program of each common type and test-runs it.
func ProbePrograms() []Capability {
	var list []Capability
	for _, t := range attachedTypes {
		c := Capability{Name: "program type " + t.name, OK: true, Note: "loads; runs when what it is attached to does, so it is not measurable by test runs"}
		if err := features.HaveProgramType(t.kind); err != nil {
			c.OK, c.Note = false, firstLine(err.Error())
		}
		list = append(list, c)
	}
	for _, t := range progTypeNames {
		c := Capability{Name: "program type " + t.name}
		o := RawOptions{AttachType: t.attach}
		if t.name == "syscall" {
			o.Flags = unix.BPF_F_SLEEPABLE
		}
		// r0 = 1; exit: a return value that every type accepts.
		p, err := LoadRaw(t.kind, []byte{0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0}, o)
		if err != nil {
			c.Note = firstLine(err.Error())
			list = append(list, c)
			continue
		}
		c.OK, c.Note = true, "loads; runs on request"
		r := TestRun{Prog: p.FD(), Data: make([]byte, 64)}
		if err := r.Run(); err == ErrNoTestRun {
			c.Note = "loads; does not run on request, so it is not measurable by test runs"
		}
		p.Close()
		list = append(list, c)
	}
	return list
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return strings.TrimSpace(strings.TrimSuffix(s, ": "))
}
