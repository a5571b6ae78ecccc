package guest

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The names of Debian's kernels for virtual machines: small, and signed or not
// all the same here.
const (
	packagePrefix = "linux-image-"
	packageSuffix = "-cloud-amd64"
)

// portModules are the modules behind the port, by file name, of the kernels
// that do not have them built in.
var portModules = []string{"virtio", "virtio_ring", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci", "virtio_console"}

// tool prepares a command that ends with this process.
func tool(ctx context.Context, name string, args ...string) (*exec.Cmd, error) {
	p, err := exec.LookPath(name)
	if err != nil {
		return nil, fmt.Errorf("%s is missing: kernels for guests come from Debian packages, so this needs a Debian or Ubuntu host", name)
	}
	c := exec.CommandContext(ctx, p, args...)
	c.Env = append(os.Environ(), "LC_ALL=C")
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return c, nil
}

// newestPackage asks apt for the newest kernel of a version and returns its
// release.
func newestPackage(ctx context.Context, version string) (string, error) {
	c, err := tool(ctx, "apt-cache", "search", "--names-only", "^"+packagePrefix+regexp.QuoteMeta(version)+"[^0-9].*"+packageSuffix+"$")
	if err != nil {
		return "", err
	}
	out, err := c.Output()
	if err != nil {
		return "", fmt.Errorf("apt-cache: %w", err)
	}
	var found []string
	for l := range strings.Lines(string(out)) {
		name, _, _ := strings.Cut(strings.TrimSpace(l), " ")
		r := strings.TrimPrefix(name, packagePrefix)
		// The meta-package has the version alone.
		if ofVersion(r, version) && r != version+packageSuffix && strings.HasSuffix(r, packageSuffix) {
			found = append(found, r)
		}
	}
	if len(found) == 0 {
		return "", fmt.Errorf("apt knows no package %s%s*%s: run 'apt-get update', or name another version (Debian has the kernel of each release and, in backports, newer ones)", packagePrefix, version, packageSuffix)
	}
	sortNewest(found, func(s string) string { return s })
	return found[0], nil
}

var numberOrText = regexp.MustCompile(`[0-9]+|[^0-9]+`)

// sortNewest sorts by release, newest first.
func sortNewest[T any](list []T, release func(T) string) {
	slices.SortFunc(list, func(a, b T) int {
		return -slices.CompareFunc(numberOrText.FindAllString(release(a), -1), numberOrText.FindAllString(release(b), -1), func(x, y string) int {
			m, err1 := strconv.Atoi(x)
			n, err2 := strconv.Atoi(y)
			if err1 == nil && err2 == nil {
				return m - n
			}
			return strings.Compare(x, y)
		})
	})
}

// fetch downloads a kernel's package to dir and unpacks what a guest needs to
// dir/image.
func fetch(ctx context.Context, release, dir string, say func(string)) error {
	name := packagePrefix + release
	c, err := tool(ctx, "apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", name)
	if err != nil {
		return err
	}
	c.Dir = dir
	say("downloading " + name)
	done := make(chan struct{})
	go watch(dir, name, say, done)
	out, err := c.CombinedOutput()
	close(done)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("apt-get download %s: %w: %s; run 'apt-get update' and look at the network", name, err, lastLine(string(out)))
	}
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(debs) != 1 {
		return fmt.Errorf("apt-get download %s left %d packages, want one", name, len(debs))
	}
	say("unpacking " + name)
	return unpack(ctx, debs[0], filepath.Join(dir, "image"))
}

// watch tells every two seconds how much of a download is there.
func watch(dir, name string, say func(string), done <-chan struct{}) {
	for t := time.NewTicker(2 * time.Second); ; {
		select {
		case <-done:
			t.Stop()
			return
		case <-t.C:
		}
		size := int64(0)
		files, _ := filepath.Glob(filepath.Join(dir, "*"))
		for _, f := range files {
			if st, err := os.Stat(f); err == nil && !st.IsDir() {
				size += st.Size()
			}
		}
		say(fmt.Sprintf("downloading %s: %.1f MB", name, float64(size)/1e6))
	}
}

// unpack copies the kernel and the port's modules out of a package.
func unpack(ctx context.Context, deb, dir string) (err error) {
	c, err := tool(ctx, "dpkg-deb", "--fsys-tarfile", deb)
	if err != nil {
		return err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	defer func() {
		io.Copy(io.Discard, out)
		if e := c.Wait(); err == nil && e != nil {
			err = fmt.Errorf("dpkg-deb: %w", e)
		}
	}()
	for t := tar.NewReader(out); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(deb), err)
		}
		name := imageFile(h.Name)
		if name == "" || h.Typeflag != tar.TypeReg {
			continue
		}
		if err := copyFile(filepath.Join(dir, name), t); err != nil {
			return err
		}
	}
}

// imageFile is the name in the cache of a file of a package, empty for none.
func imageFile(in string) string {
	base := path.Base(in)
	if strings.HasPrefix(base, "vmlinuz-") && path.Base(path.Dir(in)) == "boot" {
		return "vmlinuz"
	}
	if stem, ext, ok := strings.Cut(base, "."); ok && strings.HasPrefix(ext, "ko") && slices.Contains(portModules, stem) {
		return base
	}
	return ""
}

func copyFile(to string, from io.Reader) error {
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}
