// Package templates uses the templates as a client would: real queries and requests, restarts, replicas.
//
// Owns: boxes, which run a built template as a host does, in namespaces of this machine: its own ids, processes, network and root.
// In: tools/templates, Debian's package archive; root.
// Out: what each template must show; the table of sizes.
// Never: boots a machine, sends anything out of the namespaces it made, or knows how a template is made.
package templates
