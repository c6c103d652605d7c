#!/bin/sh
# Checks that this machine can build and run Hardnode, and installs the Debian packages that are missing.
#
# In: the machine; HARDNODE_OUT (where things are built, default out); HARDNODE_ROOT (its own tests: a folder in the place of /); the
# argument "demo" leaves out what only tests need.
# Out: one line for each thing that is wrong, each with the next step; status 0 when all is well (and then nothing was changed), 1 when not.
# Never: installs anything that is there, or anything but Debian's packages.
#
# It is a shell script because Go may be what is missing.
set -eu
root=${HARDNODE_ROOT:-}

# What is needed, a line each: package, a file that is there when it is installed, what for (the tests need all), why.
needs=$(cat <<'LIST'
qemu-system-x86  /usr/bin/qemu-system-x86_64        demo  runs the virtual machines
erofs-utils      /usr/bin/mkfs.erofs                demo  makes the read-only root and the templates
btrfs-progs      /usr/sbin/mkfs.btrfs               demo  goes into the image: formats a blank DATA disk
mmdebstrap       /usr/bin/mmdebstrap                test  makes the root of a container with systemd in a test
zstd             /usr/bin/zstd                      demo  compresses the initramfs
xz-utils         /usr/bin/xz                        demo  unpacks kernel modules
ovmf             /usr/share/OVMF/OVMF_CODE_4M.fd    test  the UEFI firmware of virtual machines
xorriso          /usr/bin/xorriso                   test  makes ISO images
dosfstools       /usr/sbin/fsck.vfat                test  checks the filesystems of boot media
dnsmasq-base     /usr/sbin/dnsmasq                  test  a site's own DHCP server, beside which machines boot from the network
ipxe-qemu        /usr/lib/ipxe/qemu/pxe-virtio.rom  test  the boot program of virtual network cards
swtpm            /usr/bin/swtpm                     test  a TPM for tests of encrypted disks
cryptsetup-bin   /usr/sbin/cryptsetup               test  reads the headers of encrypted disks that Hardnode writes
sbsigntool       /usr/bin/sbverify                  test  checks the signatures of secure boot that Hardnode makes
crun             /usr/bin/crun                      test  what make bench compares with
systemd-container /usr/bin/systemd-nspawn            test  what make bench compares a full OS with
busybox-static   /usr/bin/busybox                   test  the programs inside the containers of the runtime's tests
chromium         /usr/bin/chromium                  test  looks at the panel in tests
wrk              /usr/bin/wrk                       test  loads the resolver in make bench-resolver
gcc              /usr/bin/gcc                       test  links the tests with the race detector
libc6-dev        /usr/include/stdlib.h              test  what gcc needs for that
curl             /usr/bin/curl                      demo  the demo's first look at a page
ca-certificates  /etc/ssl/certs/ca-certificates.crt demo  Go modules come over HTTPS
LIST
)
go_least=26        # Go 1.N
ram_least=6        # GiB available
disk_least=10      # GiB free
port_first=17400   # the demo forwards ports of this range
port_last=17499
port_need=10

bad=0
wrong() { bad=1; echo "deps: $1" >&2; }
say() { echo "deps: $1"; }

# --- the system
id=none; release=0
# shellcheck source=/dev/null
[ -r "$root/etc/os-release" ] && id=$(. "$root/etc/os-release"; echo "${ID:-none}") && release=$(. "$root/etc/os-release"; echo "${VERSION_ID:-0}")
[ "$id $release" = "debian 12" ] || wrong "this is $id $release, but images and templates are built from Debian 12's packages: run it on Debian 12 (a VM with 8 GiB will do)"
[ "$(uname -m)" = x86_64 ] || wrong "this machine is $(uname -m), but images are built for x86_64"

# --- Go
go=$(command -v "${GO:-go}" || true)
if [ -z "$go" ] && [ -x "$root/usr/local/go/bin/go" ]; then
  wrong "go is in /usr/local/go/bin, but that is not in PATH: export PATH=\$PATH:/usr/local/go/bin"
elif [ -z "$go" ]; then
  wrong "go is not installed; Debian 12's own is too old: get Go 1.$go_least or newer from https://go.dev/dl/ and put its bin folder into PATH"
else
  version=$("$go" env GOVERSION 2>/dev/null || echo none)
  minor=$(echo "$version" | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
  if [ "${minor:-0}" -lt $go_least ]; then
    wrong "$go is $version, but Go 1.$go_least or newer is needed: get it from https://go.dev/dl/ (Debian 12's own is too old)"
  fi
fi

# --- memory, disk, ports
ram=$(awk '/^MemAvailable/{print int($2/1048576)}' "$root/proc/meminfo")
[ "${ram:=0}" -ge $ram_least ] || wrong "$ram GiB of memory are available, $ram_least GiB are needed: end other programs"
out=${HARDNODE_OUT:-out}
if mkdir -p "$out" 2>/dev/null && [ -w "$out" ]; then
  disk=$(df -Pk "$out" 2>/dev/null | awk 'NR==2{print int($4/1048576)}')
  # what an earlier run put there counts: it is not needed a second time
  [ -d "$out/image" ] && disk_least=4
  [ "${disk:=0}" -ge $disk_least ] || wrong "$disk GiB are free in $out, $disk_least GiB are needed: free some, or put the repository on a bigger disk"
else
  wrong "$out may not be written by $(id -un): take the folder over (chown), or run this as its owner"
fi
used=$(cat "$root/proc/net/tcp" "$root/proc/net/tcp6" 2>/dev/null | awk -v a=$port_first -v b=$port_last '
  $4 == "0A" { n = split($2, p, ":"); h = p[n]; v = 0; for (i = 1; i <= 4; i++) v = v * 16 + index("0123456789ABCDEF", substr(h, i, 1)) - 1
    if (v >= a && v <= b && !(v in seen)) { seen[v] = 1; c++ } } END { print c + 0 }')
[ $((port_last - port_first + 1 - used)) -ge $port_need ] || wrong "$used of the ports $port_first to $port_last are taken, $port_need must be free: end what listens there (ss -ltnp)"

# --- KVM
if [ -e "$root/dev/kvm" ] && ! grep -qE '^flags.* (vmx|svm)( |$)' "$root/proc/cpuinfo"; then
  say "there is a /dev/kvm, but the processor has neither vmx nor svm: the machines will be emulated, some ten times slower"
elif [ -w "$root/dev/kvm" ] && [ -r "$root/dev/kvm" ]; then
  say "KVM is used"
elif [ -e "$root/dev/kvm" ]; then
  say "/dev/kvm may not be opened by $(id -un): the machines will be emulated, some ten times slower; to use it: sudo usermod -aG kvm $(id -un), then log in again"
else
  say "there is no /dev/kvm: the machines will be emulated, some ten times slower"
fi

# --- packages
missing=''; why=''
while read -r package file use reason; do
  [ -n "$package" ] || continue
  [ "${1:-all}" = all ] || [ "$1" = "$use" ] || continue
  [ -e "$root$file" ] || { missing="$missing $package"; why="$why
deps:   $package $reason"; }
done <<LIST
$needs
LIST
known() { apt-cache show linux-image-6.12-cloud-amd64 >/dev/null 2>&1; }
update=''
if [ ! -e "$out/image/vmlinuz" ] && command -v apt-cache >/dev/null && ! known; then update=yes; fi
if [ -n "$missing$update" ] && [ $bad = 0 ]; then
  line="apt-get update && apt-get install -y --no-install-recommends$missing"
  [ -n "$missing" ] || line="apt-get update"
  as=none; lack='there is neither root nor sudo for apt-get'
  if [ "$(id -u)" = 0 ]; then as=''
  elif command -v sudo >/dev/null; then
    # with a password to type, sudo is asked only where someone can type it
    if sudo -n true 2>/dev/null || [ -t 0 ]; then as=sudo; else lack='sudo wants a password, but there is no terminal to ask for it'; fi
  fi
  if [ "$as" = none ]; then
    if [ -n "$missing" ]; then wrong "packages are missing and $lack:$why"; else wrong "apt's lists are missing or old and $lack"; fi
    echo "deps: run this as root:  $line" >&2
  else
    if [ -n "$missing" ]; then say "installing:$missing$why"; else say "updating apt's lists: they name no kernel for the image"; fi
    if ! $as sh -c "export DEBIAN_FRONTEND=noninteractive; $line"; then
      wrong "apt-get did not succeed, see above: check the network and /etc/apt/sources.list"
      echo "deps: run this as root:  $line" >&2
    fi
  fi
fi
if [ $bad = 0 ] && [ ! -e "$out/image/vmlinuz" ] && ! known; then
  wrong "apt knows no package linux-image-6.12-cloud-amd64: add Debian 12's security and updates archives to /etc/apt/sources.list"
fi
exit $bad
