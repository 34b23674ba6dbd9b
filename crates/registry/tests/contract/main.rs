//! What the registry promises, run on SQLite and on a real PostgreSQL.

mod changes;
mod deliveries;
mod persons;
mod reach;
mod records;
#[path = "../support/mod.rs"]
mod support;
mod tables;

use changes::*;
use deliveries::*;
use persons::*;
use reach::*;
use records::*;
use tables::*;

macro_rules! contract {
    ($($name:ident,)*) => {
        mod on_sqlite {
            $(#[tokio::test] async fn $name() { super::$name(crate::support::Place::sqlite().await).await })*
        }
        mod on_postgres {
            $(#[tokio::test] async fn $name() { super::$name(crate::support::Place::postgres().await).await })*
        }
    };
}

contract! {
    a_record_is_made_read_changed_and_removed,
    a_patch_empties_what_is_null_and_a_replacement_empties_what_is_left_out,
    refusals_name_the_field_the_value_and_what_is_allowed,
    what_drover_sets_may_be_repeated_but_not_changed,
    a_list_is_filtered_sorted_and_paged,
    a_change_of_another_version_is_refused,
    unique_values_are_taken_once,
    a_reference_must_exist_and_what_is_referred_to_stays,
    what_is_outside_of_reach_is_not_there,
    a_record_cannot_be_moved_into_a_foreign_fleet,
    drivers_and_customers_reach_what_is_theirs,
    a_change_and_its_outbox_row_are_one_transaction,
    a_change_that_fails_leaves_no_row_in_the_outbox,
    a_trimmed_outbox_goes_on_with_higher_numbers,
    assignments_of_one_driver_or_one_vehicle_do_not_overlap,
    the_drivers_vehicle_follows_the_current_assignment,
    a_delivery_moves_only_as_the_table_allows,
    a_transition_leaves_an_event_that_stays,
    a_delivery_needs_a_driver_from_assigned_on,
    a_driver_moves_his_own_deliveries_on_and_cancels_none,
    personal_fields_cannot_be_read_in_the_tables,
    a_customer_is_found_by_the_whole_address,
    who_was_erased_is_nowhere,
    an_export_holds_everything_of_a_person,
    the_directory_and_deliveries_under_way_follow_this_node_and_others,
    what_was_trimmed_before_another_node_heard_of_it_is_read_from_the_tables,
    writers_at_once_wait_for_each_other,
    tables_and_definitions_agree,
    a_device_of_a_rider_belongs_to_one_fleet,
}
