//! Draws a tree.

/// A line, and what belongs to it.
#[derive(Debug, Default)]
pub struct Node {
    /// The line.
    pub text: String,
    /// What belongs to it.
    pub children: Vec<Node>,
}

impl Node {
    /// A line with nothing below it.
    pub fn leaf(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            children: Vec::new(),
        }
    }

    /// A heading over lines.
    pub fn over(text: impl Into<String>, leaves: impl IntoIterator<Item = String>) -> Self {
        Self {
            text: text.into(),
            children: leaves.into_iter().map(Self::leaf).collect(),
        }
    }
}

/// The tree under a first line. Branches of the root that hold nothing are left out.
pub fn draw(head: &str, branches: Vec<Node>) -> String {
    let mut text = format!("{head}\n");
    let mut shown = branches;
    shown.retain(|branch| !branch.children.is_empty());
    below(&shown, "", &mut text);
    text
}

fn below(nodes: &[Node], margin: &str, text: &mut String) {
    for (at, node) in nodes.iter().enumerate() {
        let (knot, line) = match at + 1 == nodes.len() {
            true => ("└─ ", "   "),
            false => ("├─ ", "│  "),
        };
        text.push_str(&format!("{margin}{knot}{}\n", node.text));
        below(&node.children, &format!("{margin}{line}"), text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_has_a_line_for_each_leaf_and_none_for_an_empty_branch() {
        let mut pods = Node::over("pods", ["a-0".to_owned(), "a-1".to_owned()]);
        pods.children[0].children = vec![Node::leaf("primary")];
        let branches = vec![
            pods,
            Node::over("volumes", []),
            Node::over("decided by", ["acl".to_owned()]),
        ];
        let expected =
            "a\n├─ pods\n│  ├─ a-0\n│  │  └─ primary\n│  └─ a-1\n└─ decided by\n   └─ acl\n";
        assert_eq!(draw("a", branches), expected);
    }
}
