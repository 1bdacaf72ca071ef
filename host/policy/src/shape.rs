//! What a module is put together from, bounded before anything compiles it.
//!
//! The inside of a component is built once for each time that it is instantiated, so it is counted
//! unfolded: where each component starts the one before it twice, a kilobyte is a million instances.

use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind,
    ComponentType, ComponentTypeDeclaration, ComponentTypeRef, CoreType, Encoding,
    InstanceTypeDeclaration, Parser, Payload,
};

use crate::check::malformed;
use crate::{Limits, LoadError, Part};

/// Walks a module or component, with all that is in it.
///
/// # Errors
///
/// [`LoadError::TooManyParts`], [`LoadError::ComponentsAsValues`], or [`LoadError::Malformed`].
pub fn check(bytes: &[u8], limits: &Limits) -> Result<(), LoadError> {
    let mut walk = Walk {
        limits,
        open: Vec::new(),
        core_modules: Count::new(Part::CoreModules, limits.core_modules),
        components: Count::new(Part::Components, limits.components),
        types: Count::new(Part::Types, limits.types),
        tables: Count::new(Part::Tables, limits.tables),
    };
    for payload in Parser::new(0).parse_all(bytes) {
        walk.payload(payload.map_err(malformed)?)?;
    }
    Ok(())
}

struct Walk<'a> {
    limits: &'a Limits,
    /// Where the walk is: the outermost first.
    open: Vec<Open>,
    core_modules: Count,
    components: Count,
    types: Count,
    tables: Count,
}

/// A component or core module that is being read.
struct Open {
    encoding: Encoding,
    /// By its index, what an instance of each component is made of that it knows.
    components: Vec<Made>,
    /// And one of itself.
    made: Made,
}

/// What an instance is made of, with everything that it instantiates.
#[derive(Clone, Copy)]
struct Made {
    instances: Count,
    functions: Count,
}

#[derive(Clone, Copy)]
struct Count {
    part: Part,
    count: u32,
    limit: u32,
}

impl Walk<'_> {
    fn payload(&mut self, payload: Payload<'_>) -> Result<(), LoadError> {
        match payload {
            Payload::Version { encoding, .. } => self.begin(encoding)?,
            Payload::End(_) => self.end(),
            Payload::ModuleSection { .. } => self.core_modules.add(1)?,
            Payload::ComponentSection { .. } => self.components.add(1)?,
            Payload::TypeSection(groups) => {
                for group in groups {
                    let types = group.map_err(malformed)?.types().len();
                    self.types.add(saturated(types.max(1)))?;
                }
            }
            Payload::CoreTypeSection(types) => {
                for ty in types {
                    self.types.add(of_core_type(&ty.map_err(malformed)?))?;
                }
            }
            Payload::ComponentTypeSection(types) => {
                for ty in types {
                    self.types.add(of_type(&ty.map_err(malformed)?))?;
                }
            }
            Payload::TableSection(tables) => {
                self.tables.add(tables.count())?;
                for table in tables {
                    let elements = table.map_err(malformed)?.ty.initial;
                    let limit = saturated(self.limits.table_elements);
                    Count::new(Part::TableElements, limit).add(saturated(elements))?;
                }
            }
            Payload::InstanceSection(instances) => {
                self.innermost()?.made.instances.add(instances.count())?;
            }
            Payload::ComponentInstanceSection(instances) => {
                for instance in instances {
                    self.instance(&instance.map_err(malformed)?)?;
                }
            }
            Payload::ComponentCanonicalSection(functions) => {
                self.innermost()?.made.functions.add(functions.count())?;
            }
            Payload::ComponentAliasSection(aliases) => {
                for alias in aliases {
                    self.alias(&alias.map_err(malformed)?)?;
                }
            }
            Payload::ComponentImportSection(imports) => {
                for import in imports {
                    if let ComponentTypeRef::Component(_) = import.map_err(malformed)?.ty {
                        return Err(LoadError::ComponentsAsValues);
                    }
                }
            }
            Payload::ComponentExportSection(exports) => {
                for export in exports {
                    let export = export.map_err(malformed)?;
                    // What is exported has one more index from here on.
                    if export.kind == ComponentExternalKind::Component {
                        self.know_again(0, export.index)?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, encoding: Encoding) -> Result<(), LoadError> {
        if encoding == Encoding::Component {
            let outer = saturated(self.open.len());
            let mut levels = Count::new(Part::Levels, self.limits.levels);
            levels.add(outer.saturating_add(1))?;
        }
        self.open.push(Open {
            encoding,
            components: Vec::new(),
            made: Made {
                instances: Count::new(Part::Instances, self.limits.instances),
                functions: Count::new(Part::CrossingFunctions, self.limits.crossing_functions),
            },
        });
        Ok(())
    }

    fn end(&mut self) {
        let ended = self.open.pop();
        let component = ended.filter(|ended| ended.encoding == Encoding::Component);
        if let (Some(component), Some(outer)) = (component, self.open.last_mut()) {
            outer.components.push(component.made);
        }
    }

    fn instance(&mut self, instance: &ComponentInstance<'_>) -> Result<(), LoadError> {
        let made = match instance {
            ComponentInstance::Instantiate {
                component_index, ..
            } => Some(self.known(0, *component_index)?),
            ComponentInstance::FromExports(_) => None,
        };
        let innermost = &mut self.innermost()?.made;
        innermost.instances.add(1)?;
        if let Some(made) = made {
            innermost.instances.add(made.instances.count)?;
            innermost.functions.add(made.functions.count)?;
        }
        Ok(())
    }

    /// Components that come from anywhere but a definition could be anything: each is then as large as
    /// who instantiates it makes it.
    fn alias(&mut self, alias: &ComponentAlias<'_>) -> Result<(), LoadError> {
        match *alias {
            ComponentAlias::InstanceExport {
                kind: ComponentExternalKind::Component,
                ..
            } => Err(LoadError::ComponentsAsValues),
            ComponentAlias::Outer {
                kind: ComponentOuterAliasKind::Component,
                count,
                index,
            } => self.know_again(count, index),
            _ => Ok(()),
        }
    }

    fn know_again(&mut self, outwards: u32, index: u32) -> Result<(), LoadError> {
        let made = self.known(outwards, index)?;
        self.innermost()?.components.push(made);
        Ok(())
    }

    /// The component of this index, so many levels outwards.
    fn known(&self, outwards: u32, index: u32) -> Result<Made, LoadError> {
        let place = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let open = self.open.iter().rev().nth(place(outwards));
        let made = open.and_then(|open| open.components.get(place(index)));
        made.copied()
            .ok_or_else(|| malformed(format!("there is no component {index}")))
    }

    fn innermost(&mut self) -> Result<&mut Open, LoadError> {
        let innermost = self.open.last_mut();
        innermost.ok_or_else(|| malformed("a section outside of any module"))
    }
}

impl Count {
    const fn new(part: Part, limit: u32) -> Self {
        Self {
            part,
            count: 0,
            limit,
        }
    }

    fn add(&mut self, more: u32) -> Result<(), LoadError> {
        self.count = self.count.saturating_add(more);
        if self.count <= self.limit {
            return Ok(());
        }
        let (part, limit) = (self.part, self.limit);
        Err(LoadError::TooManyParts { part, limit })
    }
}

fn of_core_type(ty: &CoreType<'_>) -> u32 {
    saturated(match ty {
        CoreType::Rec(group) => group.types().len().max(1),
        CoreType::Module(declared) => declared.len().saturating_add(1),
    })
}

/// A type, and what is declared in it.
fn of_type(ty: &ComponentType<'_>) -> u32 {
    let inner = match ty {
        ComponentType::Component(declared) => declared.iter().map(of_declaration).sum(),
        ComponentType::Instance(declared) => declared.iter().map(of_instance_declaration).sum(),
        _ => 0,
    };
    inner + 1
}

fn of_declaration(declared: &ComponentTypeDeclaration<'_>) -> u32 {
    match declared {
        ComponentTypeDeclaration::CoreType(ty) => of_core_type(ty),
        ComponentTypeDeclaration::Type(ty) => of_type(ty),
        _ => 1,
    }
}

fn of_instance_declaration(declared: &InstanceTypeDeclaration<'_>) -> u32 {
    match declared {
        InstanceTypeDeclaration::CoreType(ty) => of_core_type(ty),
        InstanceTypeDeclaration::Type(ty) => of_type(ty),
        _ => 1,
    }
}

fn saturated(number: impl TryInto<u32>) -> u32 {
    number.try_into().unwrap_or(u32::MAX)
}
