//! The interfaces of the API that are simulated, and where they are.

use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Interface {
    ImRemoveAllTags,
    /// The Push sibling: same body, same result.
    ClearAllTags,
    ImAddTag,
    ImGetTag,
}

impl Interface {
    pub(crate) const ALL: [Interface; 4] = [
        Interface::ImRemoveAllTags,
        Interface::ClearAllTags,
        Interface::ImAddTag,
        Interface::ImGetTag,
    ];

    pub(crate) fn at(path: &str) -> Option<Interface> {
        Interface::ALL
            .into_iter()
            .find(|interface| interface.path() == path)
    }

    pub fn path(self) -> &'static str {
        match self {
            Interface::ImRemoveAllTags => "/v4/all_member_push/im_remove_all_tags",
            Interface::ClearAllTags => "/v4/timpush/clear_all_tags",
            Interface::ImAddTag => "/v4/all_member_push/im_add_tag",
            Interface::ImGetTag => "/v4/all_member_push/im_get_tag",
        }
    }

    pub(crate) fn clears_tags(self) -> bool {
        matches!(self, Interface::ImRemoveAllTags | Interface::ClearAllTags)
    }

    /// The body's field that lists the users.
    pub(crate) fn list_field(self) -> &'static str {
        match self {
            Interface::ImAddTag => "UserTags",
            _ => "To_Account",
        }
    }
}
