package relax

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// kernelConfig reads the running kernel's configuration once.
var kernelConfig = sync.OnceValues(func() (map[string]string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return nil, err
	}
	var r io.Reader
	f, err := os.Open("/boot/config-" + unix.ByteSliceToString(u.Release[:]))
	if err == nil {
		r = f
	} else {
		if f, err = os.Open("/proc/config.gz"); err != nil {
			return nil, fmt.Errorf("the kernel's configuration is neither in /boot nor in /proc/config.gz")
		}
		if r, err = gzip.NewReader(f); err != nil {
			f.Close()
			return nil, err
		}
	}
	defer f.Close()
	out := map[string]string{}
	s := bufio.NewScanner(r)
	for s.Scan() {
		if k, v, ok := strings.Cut(s.Text(), "="); ok && strings.HasPrefix(k, "CONFIG_") {
			out[k] = v
		}
	}
	return out, s.Err()
})

// kernelVersion is the running kernel's as LINUX_VERSION_CODE counts.
func kernelVersion() uint64 {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return 0
	}
	var a, b, c uint64
	fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d.%d", &a, &b, &c)
	return a<<16 | b<<8 | min(c, 255)
}

// configValue encodes an external __kconfig variable of a type as libbpf does
// (libbpf.h, "Kconfig externs"): what is missing is zero if weak.
func configValue(t *types, typ int, name string, weak bool) ([]byte, error) {
	size := t.size(typ)
	if size == 0 {
		return nil, fmt.Errorf("kconfig variable %s has no size", name)
	}
	out := make([]byte, size)
	number := func(v uint64) ([]byte, error) {
		if size > 8 {
			return nil, fmt.Errorf("kconfig variable %s: a number of %d bytes", name, size)
		}
		for k := range out {
			out[k] = byte(v >> (8 * k))
		}
		return out, nil
	}
	switch name {
	case "LINUX_KERNEL_VERSION":
		return number(kernelVersion())
	case "LINUX_HAS_BPF_COOKIE", "LINUX_HAS_SYSCALL_WRAPPER":
		return number(1) // kernels since 5.15 on x86-64
	}
	conf, err := kernelConfig()
	v, ok := conf[name]
	switch {
	case !ok && weak:
		return out, nil
	case err != nil:
		return nil, err
	case !ok:
		return nil, fmt.Errorf("this kernel's configuration has no %s", name)
	}
	if s, ok := strings.CutPrefix(v, `"`); ok {
		copy(out[:size-1], strings.TrimSuffix(s, `"`))
		return out, nil
	}
	// An enum holds TRI_NO, TRI_YES, TRI_MODULE; a char the letter; a bool 0 or 1.
	bare := t.bare(typ)
	if i := strings.Index("nym", v); i >= 0 && len(v) == 1 {
		isBool := t.kind(bare) == kindInt && t.extra(bare, 0)>>24&4 != 0
		switch {
		case t.kind(bare) == kindEnum:
			return number(uint64(i))
		case isBool && v == "m":
			return nil, fmt.Errorf("%s is built as a module, which a bool cannot say", name)
		case isBool:
			return number(uint64(i))
		}
		return number(uint64(v[0]))
	}
	n, err := strconv.ParseInt(v, 0, 64)
	if err != nil {
		u, err := strconv.ParseUint(v, 0, 64)
		if err != nil {
			return nil, fmt.Errorf("%s=%s is no number", name, v)
		}
		n = int64(u)
	}
	return number(uint64(n))
}
