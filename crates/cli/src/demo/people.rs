//! The users of the demo, one of each role, and its keys: made once in a data folder, with new secrets at every start.
//! They are told on standard error and kept nowhere in the clear.

use super::records::{CUSTOMER, DRIVER, FLEETS, OWN_VEHICLE};
use anyhow::{Context, ensure};
use drover_access::{Caller, Role};
use drover_auth::{Auth, NewKey, NewUser};
use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;

/// The administrator, whom a folder has that the demo made.
pub const ADMIN: &str = "admin@porto.example";
const FLEET_KEY: &str = "Simulated fleet";
const OWN_KEY: &str = "Printed by the demo";

/// Somebody who can log in.
struct Person {
    role: Role,
    email: &'static str,
    name: &'static str,
    look_at: &'static str,
}

const PEOPLE: [Person; 7] = [
    Person {
        role: Role::SystemAdmin,
        email: ADMIN,
        name: "Administrator",
        look_at: "everything; users, keys, the audit",
    },
    Person {
        role: Role::FleetManager,
        email: "manager@porto.example",
        name: "Beatriz, fleet manager",
        look_at: "fleet boavista: its map, records, people, keys",
    },
    Person {
        role: Role::Dispatcher,
        email: "dispatcher@porto.example",
        name: "Paulo, dispatcher",
        look_at: "fleet boavista: its couriers on the map, its deliveries",
    },
    Person {
        role: Role::Driver,
        email: "driver@porto.example",
        name: "Ana, courier",
        look_at: "courier-01: own place, own deliveries",
    },
    Person {
        role: Role::Customer,
        email: "customer@porto.example",
        name: "Joana, customer",
        look_at: "own orders (Administration, Deliveries); one is on its way",
    },
    Person {
        role: Role::StationOperator,
        email: "stations@porto.example",
        name: "Miguel, station operator",
        look_at: "fleet campanha: its stations and their stock",
    },
    Person {
        role: Role::Auditor,
        email: "auditor@porto.example",
        name: "Teresa, auditor",
        look_at: "reads all, the audit too, and changes nothing",
    },
];

impl Person {
    fn to_be_made(&self) -> NewUser {
        let fleets: &[&str] = match self.role {
            Role::SystemAdmin | Role::Auditor => &[],
            Role::StationOperator => &FLEETS[1..],
            _ => &FLEETS[..1],
        };
        NewUser {
            email: self.email.into(),
            name: self.name.into(),
            role: self.role.name().into(),
            fleets: fleets.iter().map(|fleet| (*fleet).to_owned()).collect(),
            all_fleets: fleets.is_empty().then_some(true),
            driver_id: (self.role == Role::Driver).then(|| DRIVER.into()),
            customer_id: (self.role == Role::Customer).then(|| CUSTOMER.into()),
        }
    }
}

/// A user with the password of this start.
pub struct Login {
    person: &'static Person,
    password: String,
}

/// The secrets of this start.
pub struct Keys {
    /// What the simulated fleet reports with.
    pub fleet: String,
    /// What is printed.
    own: String,
}

/// Who makes them.
pub struct People {
    auth: Auth,
    caller: Caller,
}

impl People {
    pub fn new(auth: Auth, caller: Caller) -> People {
        People { auth, caller }
    }

    /// Refuses a folder whose users are not a demo's: nobody's password is changed, and no printed one is let in.
    pub fn refuse_others(&self, data: &Path) -> anyhow::Result<()> {
        let is_demo = self.auth.users(&self.caller).iter().any(|user| user.email == ADMIN);
        ensure!(
            is_demo,
            "{} is the data folder of a node with users of its own, not of a demo; give another folder to the demo",
            data.display()
        );
        Ok(())
    }

    /// Everybody, each with a new password.
    pub async fn users(&self) -> anyhow::Result<Vec<Login>> {
        let known: HashMap<String, String> =
            self.auth.users(&self.caller).into_iter().map(|user| (user.email, user.id)).collect();
        let mut logins = Vec::new();
        for person in &PEOPLE {
            let password = self.password_of(person, known.get(person.email));
            let password = password.await.with_context(|| format!("the user {}", person.email))?;
            logins.push(Login { person, password });
        }
        Ok(logins)
    }

    async fn password_of(&self, person: &Person, id: Option<&String>) -> anyhow::Result<String> {
        let id = match id {
            Some(id) => id.clone(),
            None => self.auth.create_user(&self.caller, person.to_be_made()).await?.user.id,
        };
        Ok(self.auth.renew_password(&self.caller, &id).await?)
    }

    /// Both keys, with new secrets.
    pub async fn keys(&self) -> anyhow::Result<Keys> {
        let fleets = FLEETS.map(str::to_owned).into();
        let fleet = NewKey { scopes: Some(vec!["reports.write".into()]), fleets, ..NewKey::default() };
        let own = NewKey { all_fleets: true, ..NewKey::default() };
        Ok(Keys { fleet: self.key(FLEET_KEY, fleet).await?, own: self.key(OWN_KEY, own).await? })
    }

    async fn key(&self, name: &str, new: NewKey) -> anyhow::Result<String> {
        let is_it = |key: &drover_auth::KeyView| key.name == name && key.created_by == self.caller.subject;
        let made = match self.auth.keys(&self.caller).into_iter().find(is_it) {
            Some(known) => self.auth.rotate_key(&self.caller, &known.id, 0).await,
            None => self.auth.create_key(&self.caller, NewKey { name: name.into(), ..new }).await,
        };
        Ok(made.with_context(|| format!("the key {name:?}"))?.secret)
    }
}

/// What the demo says when it is ready.
pub fn welcome(url: &str, users: &[Login], keys: &Keys) -> String {
    let mut said = format!(
        "\n  Drover's demo city is live: open {url} and log in as one of these.\n  \
         The passwords are new at every start.\n\n"
    );
    let widths = (16, 24, 23);
    let mut line = |role: &str, email: &str, password: &str, look_at: &str| {
        // A String takes everything.
        let _written =
            writeln!(said, "  {role:0$}  {email:1$}  {password:2$}  {look_at}", widths.0, widths.1, widths.2);
    };
    line("role", "e-mail", "password", "look at");
    for Login { person, password } in users {
        line(person.role.name(), person.email, password, person.look_at);
    }
    let own = &keys.own;
    let sent = r#"{"latitude": 41.1496, "longitude": -8.6109, "speed": 32, "heading": 180}"#;
    said + &format!(
        "\n  Send a report of your own:\n  \
         curl -H 'Authorization: Bearer {own}' -d '{sent}' {url}/api/v1/vehicles/{OWN_VEHICLE}/location\n\n  \
         The same key for other commands: export DROVER_TOKEN={own}\n\n  Ctrl-C stops it.\n\n"
    )
}
