package kmod

// Use says when a module is loaded.
type Use int

const (
	// Preload: at boot, because the kernel would ask for it by request_module, which needs /sbin/modprobe (there is none).
	Preload Use = iota
	// Container: for the same reason, but after the agent is up: only containers and their network need it.
	Container
	// Hardware: by modalias, when the device is there.
	Hardware
	// Late: by modalias too, but beside the rest of the boot: drivers that wait for slow hardware. Disks are looked at after them.
	Late
	// Stage1: by the first /init, before the root is there; carried in the small cpio.
	Stage1
	// Asked: by a program that names it (zram without a disk, filesystems of a config volume).
	Asked
)

// Row is one module the image carries; what it depends on comes with it.
type Row struct {
	Name   string
	Use    Use
	Reason string
}

// Table is every module a host of the VM profile carries. A row without a reason is not added.
var Table = []Row{
	{"crc32c_generic", Stage1, "checksums: erofs' libcrc32c asks for it by name (built into the kernel of VMs)"},
	{"loop", Stage1, "the read-only root is a file in the initramfs"},
	{"erofs", Stage1, "filesystem of the root, the templates and the components"},

	{"virtio_net", Hardware, "network card of a VM"},
	{"virtio_blk", Hardware, "disk of a VM"},
	{"virtio_scsi", Late, "disk of a VM"},
	{"virtio_balloon", Hardware, "memory given back to the hypervisor"},
	{"virtio-rng", Hardware, "entropy from the hypervisor"},
	{"vmw_vsock_virtio_transport", Hardware, "the hypervisor reaches the agent without a network"},
	{"sd_mod", Late, "SCSI and SATA disks"},
	{"sr_mod", Late, "CD with a HARDNODE volume"},
	{"ahci", Late, "SATA disks and q35's CD drive"},
	{"nvme", Hardware, "NVMe disks (built into most kernels)"},
	{"qemu_fw_cfg", Hardware, "the config a hypervisor hands over"},
	{"i6300esb", Hardware, "QEMU's watchdog card"},
	{"button", Hardware, "ACPI power button: orderly poweroff"},
	{"evdev", Hardware, "init reads the power button through it"},
	{"vmxnet3", Hardware, "network card under VMware"},
	{"hv_netvsc", Hardware, "network card under Hyper-V"},
	{"hv_storvsc", Hardware, "disk under Hyper-V"},
	{"ena", Hardware, "network card of EC2"},
	{"kvm_amd", Asked, "infra VMs run on hypervisor hosts; others need not pay for it"},
	{"kvm_intel", Asked, "infra VMs run on hypervisor hosts; others need not pay for it"},

	{"softdog", Asked, "watchdog where no hardware one is"},
	{"efi_pstore", Asked, "the kernel's last words, in the firmware's variables"},
	{"ramoops", Asked, "the kernel's last words, in memory, where there are no such variables"},
	{"vhost_vsock", Asked, "hypervisor hosts talk to their VMs"},
	{"vhost_net", Asked, "network of infra VMs"},
	{"tun", Asked, "network of infra VMs"},
	{"vsock_loopback", Asked, "the agent's vsock API where the host is its own guest: tests"},

	{"btrfs", Preload, "DATA: containers, volumes, images"},
	{"overlay", Container, "container roots"},
	{"fuse", Container, "the containers' view of /proc (built into most kernels)"},
	{"zram", Asked, "DATA of a host without a disk"},
	{"dm-crypt", Asked, "encrypted STATE"},
	{"xts", Asked, "its cipher"},
	{"dm-verity", Asked, "verified slots"},
	{"efivarfs", Asked, "UEFI machines: what this boot is from, and the boot order"},
	{"isofs", Asked, "HARDNODE volume on a CD, and the system to install from it"},
	{"vfat", Preload, "HARDNODE volume on a stick, the ESP, and a stick that takes a support bundle at any time"},
	{"nls_cp437", Preload, "vfat's default code page"},
	{"nls_ascii", Preload, "vfat's default character set in Debian's kernel"},
	{"ext4", Asked, "HARDNODE volume (built into most kernels)"},

	{"crc32c-intel", Hardware, "btrfs checksums in hardware, by CPU feature"},
	{"xxhash_generic", Preload, "btrfs names it as a pre-dependency"},
	{"blake2b_generic", Preload, "btrfs names it as a pre-dependency"},
	{"aesni-intel", Hardware, "LUKS in hardware"},

	{"veth", Container, "containers' links"},
	{"wireguard", Container, "the mesh"},
	{"8021q", Asked, "VLANs of the underlay"},
	{"bonding", Asked, "bonds of the underlay"},

	{"nf_tables", Container, "firewall"},
	{"nfnetlink", Container, "firewall"},
	{"nf_conntrack", Container, "state of connections"},
	{"nf_conntrack_netlink", Container, "connections that the firewall does not allow any more are ended"},
	{"nf_nat", Container, "published ports"},
	{"nft_ct", Container, "firewall expression"},
	{"nft_nat", Container, "firewall expression: dnat, snat"},
	{"nft_chain_nat", Container, "nat chains"},
	{"nft_masq", Container, "firewall expression: masquerade"},
	{"nft_reject", Container, "firewall expression: reject"},
	{"nft_reject_inet", Container, "firewall expression: reject in inet tables"},
	{"nft_connlimit", Container, "firewall expression: how many connections a container may have"},
	{"nft_limit", Container, "firewall expression: rates"},
	{"sch_tbf", Container, "what a container receives in a second"},
	{"sch_ingress", Container, "what a container sends in a second"},
	{"cls_matchall", Container, "what a container sends in a second"},
	{"act_police", Container, "what a container sends in a second"},
}
