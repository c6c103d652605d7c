package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/ops"
	"hardnode.dev/orchestrator/world"
)

const watchPath = "/operations/{op}/events"

type operationInput struct {
	Op wire.OperationID `path:"op" maxLength:"40"`
}

func (s *Server) operationOperations() {
	add(s, route{"listOperations", "GET", "/operations", "All operations, newest first", authz.Read, 200}, func(ctx context.Context, in *struct {
		Env    wire.EnvName            `query:"env" maxLength:"40" doc:"Of this environment only"`
		Kind   string                  `query:"kind" enum:"env.create,env.start,env.stop,env.delete,env.spread,node.replace,import" doc:"Of this kind only"`
		State  operator.OperationState `query:"state" enum:"pending,running,done,failed,cancelled" doc:"In this state only"`
		Limit  int                     `query:"limit" minimum:"1" maximum:"500" default:"100" doc:"The most items of one answer"`
		Cursor string                  `query:"cursor" maxLength:"400" doc:"The next of the answer before; empty begins at the newest"`
	}) (*body[operator.List[operator.Operation]], error) {
		if in.Env == "" && s.LookImports != nil {
			s.LookImports(ctx)
		}
		all := s.world(ctx).Operations()
		if in.Env != "" {
			all = s.world(ctx).OperationsOn(in.Env)
		}
		return page(PageInput{in.Limit, in.Cursor}, slices.DeleteFunc(all, func(i world.Item[operator.Operation]) bool {
			op := i.Get()
			return in.Kind != "" && op.Kind != in.Kind || in.State != "" && op.State != in.State
		}))
	})
	add(s, route{"getOperation", "GET", "/operations/{op}", "One operation", authz.Read, 200}, func(ctx context.Context, in *operationInput) (*body[operator.Operation], error) {
		op, ok := s.world(ctx).Operation(in.Op)
		if !ok {
			return nil, ops.NoOperation(in.Op)
		}
		return &body[operator.Operation]{op}, nil
	})
	add(s, route{"cancelOperation", "POST", "/operations/{op}/cancel", "Cancel an operation and undo it", authz.Write, 200}, func(ctx context.Context, in *operationInput) (out *body[operator.Operation], err error) {
		err = s.do(ctx, "operation.cancel", "operations/"+string(in.Op), func() error {
			op, err := s.Ops.Cancel(ctx, in.Op, caller(ctx).Name)
			out = &body[operator.Operation]{op}
			return err
		})
		return out, err
	})
	watch := s.operation(route{"watchOperation", "GET", watchPath, "Watch an operation as server-sent events: event \"operation\" at once, at every change, and last when it has ended", authz.Read, 200})
	schema := s.api.OpenAPI().Components.Schemas
	watch.Responses = map[string]*huma.Response{"200": {Description: "A stream of operations", Content: map[string]*huma.MediaType{
		"text/event-stream": {Schema: huma.SchemaFromType(schema, operationType)}}}}
	huma.Register(s.api, watch, func(ctx context.Context, in *operationInput) (*huma.StreamResponse, error) {
		if _, ok := s.world(ctx).Operation(in.Op); !ok {
			return nil, ops.NoOperation(in.Op)
		}
		return &huma.StreamResponse{Body: func(hc huma.Context) { s.watch(hc, in.Op) }}, nil
	})
}

// watch sends the operation at every change until it is final, or the caller goes. A comment every 15 s keeps the line open.
func (s *Server) watch(hc huma.Context, id wire.OperationID) {
	hc.SetHeader("Content-Type", "text/event-stream")
	out, ok := hc.BodyWriter().(http.ResponseWriter)
	if !ok {
		return
	}
	ctl := http.NewResponseController(out)
	send := func(text string) bool {
		ctl.SetWriteDeadline(time.Now().Add(writeLimit))
		_, err := out.Write([]byte(text))
		return err == nil && ctl.Flush() == nil
	}
	var last wire.Revision
	for {
		w := s.world(hc.Context())
		op, ok := w.Operation(id)
		if !ok {
			return // it was forgotten meanwhile
		}
		if op.Revision != last {
			last = op.Revision
			raw, err := json.Marshal(op)
			if err != nil || !send(fmt.Sprintf("id: %d\nevent: operation\ndata: %s\n\n", last, raw)) || op.State.Final() {
				return
			}
		}
		t := time.NewTimer(15 * time.Second)
		select {
		case <-w.Over():
		case <-t.C:
			if !send(": still here\n\n") {
				t.Stop()
				return
			}
		case <-hc.Context().Done():
			t.Stop()
			return
		}
		t.Stop()
	}
}
