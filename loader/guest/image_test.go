package guest

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cavaliergopher/cpio"
)

func TestVersions(t *testing.T) {
	for _, c := range []struct {
		release, version string
		want             bool
	}{
		{"6.1.0-56-cloud-amd64", "6.1", true},
		{"6.12.107+deb12-cloud-amd64", "6.1", false},
		{"6.12.107+deb12-cloud-amd64", "6.12", true},
		{"6.12.107+deb12-cloud-amd64", "6.12.107", true},
		{"6.12.107+deb12-cloud-amd64", "6.12.10", false},
		{"6.12-cloud-amd64", "6.12", true},
	} {
		if got := ofVersion(c.release, c.version); got != c.want {
			t.Errorf("%s of %s: %v", c.release, c.version, got)
		}
	}
	for s, ok := range map[string]bool{"6.1": true, "6.12.107": true, "6": false, "6.1/../..": false, "": false, "running": false} {
		if (CheckVersion(s) == nil) != ok {
			t.Errorf("%q: %v", s, CheckVersion(s))
		}
	}
	list := []string{"6.1.0-9-cloud-amd64", "6.12.9+deb12-cloud-amd64", "6.1.0-56-cloud-amd64", "6.12.117+deb12-cloud-amd64"}
	sortNewest(list, func(s string) string { return s })
	want := []string{"6.12.117+deb12-cloud-amd64", "6.12.9+deb12-cloud-amd64", "6.1.0-56-cloud-amd64", "6.1.0-9-cloud-amd64"}
	if !slices.Equal(list, want) {
		t.Errorf("sorted %v", list)
	}
}

func TestImageFiles(t *testing.T) {
	for in, want := range map[string]string{
		"./boot/vmlinuz-6.1.0-56-cloud-amd64":                           "vmlinuz",
		"./boot/config-6.1.0-56-cloud-amd64":                            "",
		"./lib/modules/6.1.0/kernel/drivers/virtio/virtio_pci.ko":       "virtio_pci.ko",
		"./lib/modules/6.12/kernel/drivers/char/virtio_console.ko.xz":   "virtio_console.ko.xz",
		"./lib/modules/6.1.0/kernel/drivers/virtio/virtio_balloon.ko":   "",
		"./usr/share/doc/linux-image-6.1.0-56-cloud-amd64/changelog.gz": "",
	} {
		if got := imageFile(in); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

func TestInitialFileSystem(t *testing.T) {
	dir := t.TempDir()
	program, module := filepath.Join(dir, "prog"), filepath.Join(dir, "virtio.ko")
	for _, f := range []string{program, module} {
		if err := os.WriteFile(f, []byte(f), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, err := initrd(program, []string{module})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for r := cpio.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(r)
		found[h.Name] = string(b)
	}
	if found["init"] != program || found["modules/virtio.ko"] != module {
		t.Errorf("found %v", found)
	}
	if _, ok := found["proc"]; !ok {
		t.Error("no place to mount proc")
	}
}

// What is cached needs no package tools.
func TestCachedImageIsFound(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("PATH", "")
	dir, err := CacheDir()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"6.1.0-9-x/vmlinuz", "6.1.0-10-x/vmlinuz", "6.1.0-10-x/virtio.ko", "6.1.0-11-x/virtio.ko", ".fetch-1/6.1.0-12-x/vmlinuz"} {
		f = filepath.Join(dir, f)
		if err := os.MkdirAll(filepath.Dir(f), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	i, err := Resolve(context.Background(), "6.1", nil)
	if err != nil || i.Release != "6.1.0-10-x" || len(i.Modules) != 1 {
		t.Errorf("%+v, %v", i, err)
	}
	if _, err := Resolve(context.Background(), "6.6", nil); err == nil {
		t.Error("found a kernel that is not there")
	}
	if Available() != ErrNoQemu {
		t.Errorf("without an emulator: %v", Available())
	}
}
