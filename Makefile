# Hardnode: every target has a help text; `make` alone prints them. CI runs `make test` and nothing else.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
export CGO_ENABLED := 0
GO ?= go
OUT := out
VERSION := $(shell sed -n 's/^version: *//p' image/release/release.yaml)
COMMIT_TIME := $(or $(SOURCE_DATE_EPOCH),$(shell git log -1 --format=%ct 2>/dev/null || echo 0))
LDFLAGS := -s -w -X hardnode.dev/internal/build.version=$(VERSION) -X hardnode.dev/internal/build.seconds=$(COMMIT_TIME)
GOBUILD := $(GO) build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)'

.DEFAULT_GOAL := help
.PHONY: help deps check unit race test clean

help: ## print this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

check: ## gofmt, vet and the house rules; the API's description by a linter, where Node is there
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo 'gofmt would change:'; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags qemu ./qemu-tests/...
	$(GO) vet -tags guest ./agent/... ./qemu-tests/...
	@HARDNODE_OUT=$(OUT) sh tools/openapi/lint.sh

# what go test -json says goes through it: all of what failed, and the seconds of the slowest; the status is go test's
TESTLOG := $(OUT)/bin/testlog -record $(OUT)/seconds
.PHONY: testlog
testlog:
	@mkdir -p $(OUT)/bin && $(GO) build -trimpath -buildvcs=false -o $(OUT)/bin/testlog ./tools/testlog

unit: testlog ## unit tests: no root, no network, under a minute warm
	$(GO) test -json ./... | $(TESTLOG)

# the race detector is a C library, so this alone needs cgo; the programs that run for long are what it pays for
# (orchestrator/lead's own tests are long and of one goroutine; its loop runs beside all others in those of ./orchestrator)
RACE = $$($(GO) list ./agent/... ./init/... ./internal/... ./jls/... ./orchestrator/... ./tools/devcluster/... | grep -v /orchestrator/lead$$)
# one package more than there are cores, in race and rest: some wait for timers most of their time
# and half an hour for each package: ./orchestrator takes minutes, and the ten that go test gives are too few on a slow, busy machine
BESIDE := -p $(shell expr $$(nproc) + 1) -timeout 30m
race: testlog ## the unit tests of the long-running programs under the race detector: minutes cold
	CGO_ENABLED=1 $(GO) test -json -race $(BESIDE) $(RACE) | $(TESTLOG)

.PHONY: rest golden
rest: testlog ## the unit tests that race leaves out
	$(GO) test -json $(BESIDE) $$(comm -23 <($(GO) list ./... | sort) <(echo "$(RACE)" | tr ' ' '\n' | sort)) | $(TESTLOG)

test: ## everything CI runs; the seconds of the slowest tests at the end
	@rm -f $(OUT)/seconds
	@status=0; $(MAKE) --no-print-directory deps check rest race qemu || status=$$?; \
	  if [ -s $(OUT)/seconds ]; then echo "--- all of it:"; $(OUT)/bin/testlog -summary $(OUT)/seconds; fi; exit $$status

golden: ## write the present form of each type that travels or is kept as its next golden file (testdata/golden)
	GOLDEN_UPDATE=1 $(GO) test -count=1 -run '^TestGolden$$' $(sort $(patsubst %,./%,$(dir $(shell git grep -lE 'golden\.(Kept|Wire)\[' -- '*_test.go'))))

clean: ## remove everything that was built (out/)
	rm -rf $(OUT)

# image/
.PHONY: image release sizes image-repro image-kernel image-metal disk iso pxe disk-metal iso-metal pxe-metal
image: ## build the boot artefacts: out/image/{vmlinuz,cmdline,host.initrd,infra.initrd}
	$(GO) build -trimpath -o $(OUT)/bin/image ./image && $(OUT)/bin/image -out $(OUT)

image-metal: ## build the boot artefacts of servers, with the drivers of their hardware: out/metal/
	$(GO) build -trimpath -o $(OUT)/bin/image ./image && $(OUT)/bin/image -out $(OUT) -metal

disk: ## build disks that UEFI machines boot: out/media/{host,infra}.disk (hnctl media add-config puts a configuration onto one)
	$(GO) build -trimpath -o $(OUT)/bin/image ./image && $(OUT)/bin/image -out $(OUT) disk

pxe: ## build the tree that TFTP and HTTP servers hand to machines that boot from the network: out/media/pxe (dnsmasq.conf there says how)
	$(GO) build -trimpath -o $(OUT)/bin/image ./image && $(OUT)/bin/image -out $(OUT) pxe

disk-metal iso-metal pxe-metal: ## the same for servers, with the drivers of their hardware: out/media/metal-{host,infra}.{disk,iso}, metal-pxe
	$(GO) build -trimpath -o $(OUT)/bin/image ./image && $(OUT)/bin/image -out $(OUT) -metal $(@:-metal=)

iso: ## build ISO images that BIOS and UEFI machines boot, as CD or stick: out/media/{host,infra}.iso
	$(GO) build -trimpath -o $(OUT)/bin/image ./image && $(OUT)/bin/image -out $(OUT) iso

release: ## build all that ships, for virtual machines and servers, as one folder: out/release/VERSION (image/release/release.yaml)
	$(GO) build -trimpath -o $(OUT)/bin/image ./image && $(OUT)/bin/image -out $(OUT) release

sizes: ## build images and ISOs for virtual machines and servers; each size that has a limit on a line with FIGURE, an error beyond it
	$(GO) build -trimpath -o $(OUT)/bin/image ./image && $(OUT)/bin/image -out $(OUT) sizes

image-repro: ## build release and media twice, in two folders of different paths and times, and compare the bytes: some ten minutes
	$(GO) build -trimpath -o $(OUT)/bin/image ./image && $(OUT)/bin/image -out $(OUT) repro

image-kernel: ## fetch the kernel and its modules only: out/image/{vmlinuz,modules}
	$(GO) build -trimpath -o $(OUT)/bin/image ./image && $(OUT)/bin/image -out $(OUT) kernel

# --- deps
deps: ## check this machine and install the Debian packages that are missing
	@GO=$(GO) HARDNODE_OUT=$(OUT) sh tools/deps/deps.sh

.PHONY: deps-demo
deps-demo:
	@GO=$(GO) HARDNODE_OUT=$(OUT) sh tools/deps/deps.sh demo

# --- the programs people run, and the demo
.PHONY: bin demo
bin: ## build the programs people run: out/bin/{hnctl,jls,netboot}
	@mkdir -p $(OUT)/bin && $(GOBUILD) -o $(OUT)/bin/ ./tools/hnctl ./jls ./orchestrator/netboot

demo: deps-demo ## a cluster on this machine, in QEMU (ARGS="--hosts 3 --keep" and more: ARGS=-help)
	@mkdir -p $(OUT)/bin && $(GOBUILD) -o $(OUT)/bin/devcluster ./tools/devcluster && exec $(OUT)/bin/devcluster $(ARGS)

# --- qemu-tests: PKG and RUN select, e.g. `make qemu PKG=./qemu-tests/sample RUN=TestSample`
.PHONY: qemu soak
PKG ?= ./qemu-tests/...
RUN ?= .
QEMU := $(GO) test -json -tags qemu -count=1 -timeout 50m -v -run '$(RUN)'
ifeq ($(origin PKG),file)
# One machine emulated keeps one core busy, so two packages run side by side, the longest one first; the story has three machines and comes
# alone. The images are made first, since whoever boots them brings them up to date.
LONGEST := ./qemu-tests/container
qemu: testlog image ## tests that boot virtual machines (PKG=./qemu-tests/… RUN=TestX for some of them)
	@status=0; $(QEMU) -p 2 $(LONGEST) $$($(GO) list -tags qemu ./qemu-tests/... | grep -vE '/(story|$(notdir $(LONGEST)))$$') | $(TESTLOG) -v || status=$$?; \
	  $(QEMU) ./qemu-tests/story | $(TESTLOG) -v || status=$$?; exit $$status
else
qemu: testlog
	$(QEMU) -p 1 $(PKG) | $(TESTLOG) -v
endif

.PHONY: conformance
conformance: testlog ## the OCI distribution-spec's own suite against the registry (it is fetched as a Go module)
	HARDNODE_SOAK=1 $(GO) test -json -count=1 -timeout 1h -v -run TestConformance ./orchestrator/registry | $(TESTLOG) -v

.PHONY: certificates-long
certificates-long: testlog ## certificates of 90 s by a CA that goes away, by the real clock (6 minutes)
	HARDNODE_SOAK=1 $(GO) test -json -count=1 -timeout 30m -v -run TestCertificatesLong ./orchestrator | $(TESTLOG) -v

soak: testlog $(if $(filter file,$(origin PKG)),conformance certificates-long) ## the long forms of the qemu tests: hours (PKG=./qemu-tests/… RUN=TestX for some of them)
	HARDNODE_SOAK=$${HARDNODE_SOAK:-1} $(GO) test -json -tags qemu -count=1 -timeout 6h -p 1 -v -run '$(RUN)' $(PKG) | $(TESTLOG) -v

# --- templates, registry, resolver
.PHONY: templates
TEMPLATES ?= nginx
templates: ## build OCI templates from Debian packages: out/templates/NAME (TEMPLATES="nginx redis …", or all)
	@$(GO) build -trimpath -o $(OUT)/bin/templates ./tools/templates && $(OUT)/bin/templates -out $(OUT)/templates \
	  $(if $(filter all,$(TEMPLATES)),$(patsubst %/template.yaml,%,$(wildcard tools/templates/*/template.yaml)),$(addprefix tools/templates/,$(TEMPLATES)))

.PHONY: bench-resolver
bench-resolver: deps templates ## the resolver beside nginx, HAProxy and Caddy, on loopback: plain, TLS, HTTP/2
	@mkdir -p $(OUT)/bench/packages && cd $(OUT)/bench/packages && for p in haproxy caddy nghttp2-client libnghttp2-14 libev4 liblua5.3-0 \
	  libopentracing-c-wrapper0 libopentracing1 libjemalloc2; do ls $${p}_*.deb >/dev/null 2>&1 || apt-get -q download $$p || exit 1; done
	@$(GO) run ./tools/bench/resolver -more $(OUT)/bench/packages

.PHONY: bench-orchestrator
# All that the API makes is one account's, so each host is sent the names of all nodes, as differences; what is sent of another account's
# environment is TestBytesTold's figure.
FLEET := -hosts 2000 -nodes 40000
bench-orchestrator: ## deciding for 100,000 nodes on 5,000 hosts, following their store, and a fleet of virtual hosts (FLEET="-hosts N -nodes N"): each figure on a line that begins with FIGURE
	HARDNODE_BENCH=1 $(GO) test -count=1 -p 1 -v -run '^TestFigures$$' ./orchestrator/converge ./orchestrator/lead ./orchestrator/live ./orchestrator/store ./orchestrator/world
	HARDNODE_BENCH=1 $(GO) test -count=1 -run '^TestBytesTold$$' ./orchestrator -v | grep FIGURE
	@mkdir -p $(OUT)/bin && $(GOBUILD) -o $(OUT)/bin/orchestrator ./orchestrator && $(GOBUILD) -o $(OUT)/bin/fleetsim ./tools/fleetsim
	taskset -c 1 $(OUT)/bin/fleetsim -orchestrator $(OUT)/bin/orchestrator -orchestrator-cpu 0 $(FLEET)

# --- bench: figures of the container runtime beside crun, and of a host coming up
.PHONY: bench
RUNS ?= 50
bench: deps testlog ## containers beside crun and systemd-nspawn (p50 of RUNS runs in one VM); the mesh beside plain WireGuard; how a host comes up, median of 5; what it takes (PKG=… RUN=… for one)
	HARDNODE_BENCH=$(RUNS) $(GO) test -json -tags qemu -count=1 -timeout 30m -p 1 -run '$(if $(filter file,$(origin RUN)),TestFigures,$(RUN))' \
	  $(if $(filter file,$(origin PKG)),./qemu-tests/container ./qemu-tests/agent ./qemu-tests/story ./qemu-tests/system,$(PKG)) | $(TESTLOG) -lines FIGURE
