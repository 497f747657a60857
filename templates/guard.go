package templates

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/template/parse"
)

// maxCalls bounds the functions of one action.
const maxCalls = 16

// guard refuses what a stored template may not do, and changes the tree in two
// ways: an empty text before each node makes every step visible to bounded, and
// what default looks at may be missing.
func (p *part) guard(tree *parse.Tree) error {
	if tree == nil || tree.Root == nil {
		return &Error{Part: p.name, Err: errors.New("the part is empty")}
	}
	g := guard{part: p}
	g.list(tree.Root)
	return errors.Join(g.errs...)
}

type guard struct {
	part  *part
	calls int
	errs  []error
}

func (g *guard) fail(n parse.Node, format string, args ...any) {
	g.errs = append(g.errs, errorAt(g.part.name, g.part.source, int(n.Position()), fmt.Errorf(format, args...)))
}

func (g *guard) list(l *parse.ListNode) {
	if l == nil {
		return
	}
	stepped := make([]parse.Node, 0, 2*len(l.Nodes)+1)
	for _, n := range l.Nodes {
		g.node(n)
		stepped = append(stepped, step(n.Position()), n)
	}
	l.Nodes = append(stepped, step(l.Pos))
}

func step(pos parse.Pos) *parse.TextNode {
	return &parse.TextNode{NodeType: parse.NodeText, Pos: pos, Text: []byte{}}
}

func (g *guard) node(n parse.Node) {
	g.calls = 0
	switch n := n.(type) {
	case *parse.TextNode:
		if at := strings.IndexAny(string(n.Text), "\r\n"); g.part.kind == subject && at >= 0 {
			g.errs = append(g.errs, errorAt(g.part.name, g.part.source, int(n.Pos)+at, errControl))
		}
	case *parse.ActionNode:
		g.pipe(n.Pipe)
	case *parse.IfNode:
		g.branch(&n.BranchNode)
	case *parse.RangeNode:
		g.branch(&n.BranchNode)
	case *parse.WithNode:
		g.branch(&n.BranchNode)
	case *parse.TemplateNode:
		g.fail(n, "a template cannot call another")
	}
}

func (g *guard) branch(b *parse.BranchNode) {
	g.pipe(b.Pipe)
	g.list(b.List)
	g.list(b.ElseList)
}

func (g *guard) pipe(p *parse.PipeNode) {
	for i, c := range p.Cmds {
		for _, arg := range c.Args {
			g.argument(arg)
		}
		if isDefault(c) {
			for j, arg := range c.Args[1:] {
				c.Args[j+1] = optional(arg)
			}
			if i > 0 && len(p.Cmds[i-1].Args) == 1 {
				p.Cmds[i-1].Args[0] = optional(p.Cmds[i-1].Args[0])
			}
		}
	}
}

func (g *guard) argument(n parse.Node) {
	switch n := n.(type) {
	case *parse.PipeNode:
		g.pipe(n)
	case *parse.ChainNode:
		g.argument(n.Node)
	case *parse.IdentifierNode:
		if g.calls++; g.calls == maxCalls+1 {
			g.fail(n, "more than %d functions in one action", maxCalls)
		}
		if !slices.Contains(Functions(), n.Ident) {
			g.fail(n, "function %q is not available: there are %s", n.Ident, strings.Join(Functions(), ", "))
		}
	}
}

func isDefault(c *parse.CommandNode) bool {
	f, ok := c.Args[0].(*parse.IdentifierNode)
	return ok && f.Ident == "default"
}

// optional makes (lookup . "user" "name") of .user.name, and the same of
// $x.user.name and (…).user.name; other arguments stay.
func optional(arg parse.Node) parse.Node {
	var base parse.Node
	var path []string
	switch n := arg.(type) {
	case *parse.FieldNode:
		base, path = &parse.DotNode{NodeType: parse.NodeDot, Pos: n.Pos}, n.Ident
	case *parse.VariableNode:
		bare := *n
		bare.Ident = n.Ident[:1]
		base, path = &bare, n.Ident[1:]
	case *parse.ChainNode:
		base, path = n.Node, n.Field
	default:
		return arg
	}
	args := []parse.Node{parse.NewIdentifier(lookupName).SetPos(arg.Position()), base}
	for _, key := range path {
		args = append(args, &parse.StringNode{NodeType: parse.NodeString, Pos: arg.Position(), Quoted: strconv.Quote(key), Text: key})
	}
	command := &parse.CommandNode{NodeType: parse.NodeCommand, Pos: arg.Position(), Args: args}
	return &parse.PipeNode{NodeType: parse.NodePipe, Pos: arg.Position(), Cmds: []*parse.CommandNode{command}}
}
